"""Ten thousand commands past the PDK."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: (
    "[[" + ",".join('["%d","websocket_send",{}]' % n for n in range(10000)) + "]]\n"
)


class Hostile(Plugin):
    pass

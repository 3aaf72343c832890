"""A head nested too deep to parse."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[" * 200_000 + "\n"


class Hostile(Plugin):
    pass

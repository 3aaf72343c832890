"""A payload that is no object."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: '[[["a","websocket_send",[]]]]\n'


class Hostile(Plugin):
    pass

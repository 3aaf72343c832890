"""A command id over the bound."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: '[[["' + "a" * 1000 + '","websocket_send",{}]]]\n'


class Hostile(Plugin):
    pass

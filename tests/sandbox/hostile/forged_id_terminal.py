"""A terminal sequence as a command id."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: '[[["\\u001b[2J","websocket_send",{}]]]\n'


class Hostile(Plugin):
    pass

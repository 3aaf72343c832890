"""A command id that is a number."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: '[[[7,"websocket_send",{}]]]\n'


class Hostile(Plugin):
    pass

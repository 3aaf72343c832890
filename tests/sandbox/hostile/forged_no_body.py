"""Answers a head without its line end."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[null]"


class Hostile(Plugin):
    pass

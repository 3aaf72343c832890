"""A boolean where a number belongs."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[true]\nx"


class Hostile(Plugin):
    pass

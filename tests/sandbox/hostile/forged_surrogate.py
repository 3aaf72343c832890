"""A string that is not Unicode."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[1]\n\ud800"


class Hostile(Plugin):
    pass

"""A reply longer than anything."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[999999999999999999999999]\nx"


class Hostile(Plugin):
    pass

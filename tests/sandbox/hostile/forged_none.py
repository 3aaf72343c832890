"""Answers no string."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: None


class Hostile(Plugin):
    pass

"""Answers an object where a list belongs."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "{}\n"


class Hostile(Plugin):
    pass

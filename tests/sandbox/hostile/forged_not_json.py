"""Answers with no JSON head."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "this is not json\n"


class Hostile(Plugin):
    pass

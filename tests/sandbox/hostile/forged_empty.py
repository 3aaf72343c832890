"""Answers nothing at all."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: ""


class Hostile(Plugin):
    pass

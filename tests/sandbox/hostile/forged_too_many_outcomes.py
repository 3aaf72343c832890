"""Answers more events than there were."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[null, null]\n"


class Hostile(Plugin):
    pass

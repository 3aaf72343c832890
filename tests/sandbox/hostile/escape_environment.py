"""Tells what the environment holds."""

import os

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise LookupError(repr(dict(os.environ)))

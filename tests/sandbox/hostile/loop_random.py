"""Loops around an import that allocates."""

import os

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        while True:
            os.urandom(8)

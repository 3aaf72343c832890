"""Aborts the process."""

import os

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        os.abort()

"""Loops around the cheapest import there is."""

import time

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        while True:
            time.monotonic()

"""Sleeps in small steps for ever."""

import time

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        while True:
            time.sleep(0.001)

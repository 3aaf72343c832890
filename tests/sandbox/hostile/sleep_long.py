"""Waits in the host for an hour."""

import time

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        time.sleep(3600)

"""Waits in the host another way."""

import select

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        select.select([], [], [], 3600)

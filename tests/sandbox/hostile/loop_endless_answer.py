"""Answers for ever."""

from yoi_pdk import Plugin
from yoi_pdk import Reply


class Hostile(Plugin):
    def on_text(self, event, ctx):
        while True:
            yield Reply("x")

"""Fills memory with a sort."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        sorted(range(10**9), key=lambda n: -n)

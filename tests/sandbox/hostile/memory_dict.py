"""Fills its memory with small objects."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        {n: str(n) * 9 for n in range(10**8)}

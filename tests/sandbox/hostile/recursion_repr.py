"""Recurses in repr()."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        x = []
        for _ in range(500_000):
            x = [x]
        repr(x)

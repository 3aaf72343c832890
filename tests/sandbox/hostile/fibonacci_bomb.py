"""Exponential work."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        f = lambda n: 1 if n < 2 else f(n - 1) + f(n - 2)
        f(60)

"""Recurses in Python."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        def f():
            f()

        f()

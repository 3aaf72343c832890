"""Prints megabytes."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        print("x" * (2 << 20))
        raise ValueError("printed")

"""Prints a hundred thousand lines."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        print("\n" * 100_000)
        raise ValueError("printed")

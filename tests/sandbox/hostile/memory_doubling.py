"""Doubles a string until memory ends."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        s = "x"
        while True:
            s += s

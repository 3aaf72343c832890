"""Recurses in the parser."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        eval("(" * 100_000 + ")" * 100_000)

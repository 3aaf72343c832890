"""Loops around a host call."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        while True:
            ctx.log("again")

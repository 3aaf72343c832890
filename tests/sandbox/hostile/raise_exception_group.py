"""Raises BaseExceptionGroup."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError("v")])

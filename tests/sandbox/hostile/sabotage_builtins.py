"""Breaks what its runner stands on."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        import builtins

        builtins.len = lambda x: -1
        builtins.type = None
        raise ValueError("x")

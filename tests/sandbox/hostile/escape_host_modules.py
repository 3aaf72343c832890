"""Imports the host's modules."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        import yoi
        import wasmtime

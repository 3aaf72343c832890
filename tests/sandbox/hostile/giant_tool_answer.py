"""A tool answer of megabytes."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_tool(self, call, ctx):
        return "x" * (6 << 20)

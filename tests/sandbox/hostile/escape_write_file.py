"""Writes a file."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        open("/tmp/yoi-escape", "w").write("x")

"""Asks for a gigabyte."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        bytearray(1 << 30)

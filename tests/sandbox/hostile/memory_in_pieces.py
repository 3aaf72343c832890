"""Fills its memory piece by piece."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        keep = []
        while True:
            keep.append(bytearray(1 << 20))

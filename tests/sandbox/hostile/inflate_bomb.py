"""Inflates more than fits."""

import zlib

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        data = zlib.compress(bytes(1 << 24))
        zlib.decompress(zlib.decompress(zlib.compress(data)) * 1) + bytes(1 << 26)

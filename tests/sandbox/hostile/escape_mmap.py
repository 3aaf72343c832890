"""Maps memory."""

import mmap

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        mmap.mmap(-1, 1 << 16)

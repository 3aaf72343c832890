"""Keeps every byte it can get."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        self.keep = []
        size = 1 << 20
        while size:
            try:
                self.keep.append(bytearray(size))
            except MemoryError:
                size //= 2
        raise MemoryError

"""An exception with a message of megabytes."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise ValueError("x" * (4 << 20))

"""Ten thousand commands."""

from yoi_pdk import Reply

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return [Reply("x") for _ in range(10_000)]

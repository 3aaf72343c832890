"""A reply whose bytes, not characters, are over the bound."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply("\U0001f300" * (2 << 20))

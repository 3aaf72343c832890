"""A reply over the bound."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply("x" * (6 << 20))

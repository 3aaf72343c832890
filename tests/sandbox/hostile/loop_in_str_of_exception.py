"""Loops while its exception is described."""

from yoi_pdk import Plugin


class Endless(Exception):
    def __str__(self):
        while True:
            pass


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise Endless

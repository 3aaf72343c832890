"""Loops where no exception can be raised."""

from yoi_pdk import Plugin


class Trap:
    def __del__(self):
        while True:
            pass


class Hostile(Plugin):
    def on_text(self, event, ctx):
        Trap()

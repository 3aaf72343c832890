"""Breaks everything it can reach."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        import sys

        sys.modules.clear()
        import gc

        for thing in gc.get_objects():
            if isinstance(thing, dict):
                thing.clear()

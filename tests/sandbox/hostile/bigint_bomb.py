"""One long instruction after another."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        x = 3
        while True:
            x = x * x

"""Recurses through C comparisons."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        class E:
            def __eq__(self, other):
                return [E()] == [E()]

        E() == E()

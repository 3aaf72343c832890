"""Recurses through attribute look-up."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        class G:
            def __getattr__(self, name):
                return getattr(G(), name)

        G().x

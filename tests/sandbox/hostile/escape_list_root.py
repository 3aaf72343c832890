"""Lists a folder."""

import os

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply(repr(os.listdir("/")))

"""Starts a thread."""

import threading

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        threading.Thread(target=print).start()

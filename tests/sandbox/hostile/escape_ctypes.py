"""Calls C."""

import ctypes

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        ctypes.CDLL(None).abort()

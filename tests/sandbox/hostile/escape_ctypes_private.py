"""Calls C by the module below."""

import _ctypes

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        _ctypes.dlopen(None, 0)

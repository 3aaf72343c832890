"""Breaks the interpreter on purpose."""

import faulthandler

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        faulthandler._sigsegv()

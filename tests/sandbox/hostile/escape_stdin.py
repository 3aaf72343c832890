"""Reads the host's standard input."""

import sys

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise EOFError(repr(sys.stdin.read()))

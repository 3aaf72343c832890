"""Loops in a trace function."""

from yoi_pdk import Plugin
import sys


def trace(*args):
    while True:
        pass


class Hostile(Plugin):
    def on_text(self, event, ctx):
        sys.settrace(trace)
        (lambda: 1)()

"""Recurses in Python with the limit lifted."""

import sys

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        sys.setrecursionlimit(10**9)

        def f():
            f()

        f()

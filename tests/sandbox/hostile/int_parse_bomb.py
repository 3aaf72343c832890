"""Quadratic parsing in C."""

import sys

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        sys.set_int_max_str_digits(0)
        int("9" * 8_000_000)

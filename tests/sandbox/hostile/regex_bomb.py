"""A catastrophic regular expression."""

import re

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        re.match(r"(a+)+$", "a" * 64 + "b")

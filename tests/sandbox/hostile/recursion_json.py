"""Recurses in the JSON scanner."""

import json

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        json.loads("[" * 500_000)

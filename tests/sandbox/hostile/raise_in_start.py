"""Raises while it starts."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def start(self, ctx, config):
        raise SystemExit(1)

"""Calls the host with megabytes."""

from wit_world.imports import host

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        host.call("x" * (1 << 20), "y" * (8 << 20))
        raise ValueError("came back")

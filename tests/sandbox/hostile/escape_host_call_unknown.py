"""Calls a host function that does not exist."""

from wit_world.imports import host

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        raise PermissionError(host.call("request", '{"url": "http://127.0.0.1/"}'))

"""Calls the log with arguments of every wrong shape."""

from wit_world.imports import host

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        for argument in ("", "[", '{"level": 7}', "[" * 100_000):
            answer = host.call("log", argument)
            assert "error" in answer, answer
        raise ValueError("all refused")

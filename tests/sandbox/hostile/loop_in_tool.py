"""Never answers a tool call."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_tool(self, call, ctx):
        while True:
            pass

"""Runs an event loop."""

import asyncio

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        asyncio.run(asyncio.sleep(0))

"""A status of megabytes."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def status(self):
        return {"x": "x" * (6 << 20)}

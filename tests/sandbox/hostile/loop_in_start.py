"""Never finishes starting."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def start(self, ctx, config):
        while True:
            pass

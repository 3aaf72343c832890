"""Never answers how it is."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def status(self):
        while True:
            pass

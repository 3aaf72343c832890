"""Never stops."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def stop(self):
        while True:
            pass

"""Never returns and catches what would stop it."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue

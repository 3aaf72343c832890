"""A string that lies about its length."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        class S(str):
            def __len__(self):
                return 10**9

        return event.reply(S("x"))

"""A reply whose text is a number."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        answer = event.reply("x")
        answer.text = 5
        return answer

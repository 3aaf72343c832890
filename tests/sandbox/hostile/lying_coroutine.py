"""Returns a coroutine."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        async def later():
            pass

        answer = later()
        answer.close()
        return answer

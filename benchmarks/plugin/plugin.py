"""The plugin under measurement: parse the frame, build a reply. The peers do the same."""

import json

from yoi_pdk import Plugin


class Answer(Plugin):
    def on_text(self, event, ctx):
        frame = json.loads(event.text)
        answer = {
            "type": "reply",
            "id": frame["id"],
            "channel": frame["channel"],
            "text": "ok " + frame["event"]["text"][:20],
        }
        return event.reply(json.dumps(answer))

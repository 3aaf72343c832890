"""No framework, no sandbox: picows on uvloop parses each frame and builds a reply. raw.py PORT"""

import json
import sys

import picows
import uvloop


def handle(text: str) -> str:
    frame = json.loads(text)
    answer = {
        "type": "reply",
        "id": frame["id"],
        "channel": frame["channel"],
        "text": "ok " + frame["event"]["text"][:20],
    }
    return json.dumps(answer)


class Listener(picows.WSListener):
    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()
        else:
            answer = handle(frame.get_payload_as_utf8_text())
            transport.send(picows.WSMsgType.TEXT, answer.encode())


async def main() -> None:
    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{sys.argv[1]}/")
    await transport.wait_disconnected()


uvloop.run(main())

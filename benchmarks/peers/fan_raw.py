"""No framework: picows on uvloop sends each message of /pub to everybody else. fan_raw.py PORT"""

import sys

import picows
import uvloop

observers: set[picows.WSTransport] = set()


class Observer(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        observers.add(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        observers.discard(transport)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()


class Publisher(picows.WSListener):
    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            data = frame.get_payload_as_bytes()
            for observer in observers:
                observer.send(picows.WSMsgType.TEXT, data)
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()


def listener(request: picows.WSUpgradeRequest) -> picows.WSListener:
    return Publisher() if request.path in (b"/pub", "/pub") else Observer()


async def main() -> None:
    server = await picows.ws_create_server(listener, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


uvloop.run(main())

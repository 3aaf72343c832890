"""What people write with Starlette: each message of /pub is sent to everybody on /sub."""

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

observers: set[WebSocket] = set()


async def observe(socket: WebSocket) -> None:
    await socket.accept()
    observers.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        observers.discard(socket)


async def publish(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            text = await socket.receive_text()
            for observer in list(observers):
                await observer.send_text(text)
    except WebSocketDisconnect:
        pass


app = Starlette(routes=[WebSocketRoute("/sub", observe), WebSocketRoute("/pub", publish)])

"""The host that a test gives a plugin: state, answers to requests, and sockets, without a network.

    plugin = PluginHarness(Mine)
    plugin.host.answer = lambda request: fake_answer(json={"ok": True})
    plugin.host.connect = lambda url: FakeSocket(["hello"])

Until a test says otherwise, requests and sockets are denied, as they are without a grant.
"""

import base64
import itertools
import json as _json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from yoi_pdk.host import HostError


class FakeSocket:
    """The server's end of a socket that the plugin opens. `sent` is what the plugin sent.

    `messages` are what it receives, in order: then nothing comes (`connection.timeout`), or the end
    once `end` was called.
    """

    def __init__(
        self, messages: Iterable[str | bytes] = (), *, protocol: str | None = None
    ) -> None:
        self.messages: deque[str | bytes] = deque(messages)
        self.sent: list[str | bytes] = []
        self.protocol = protocol
        self.closed = False
        """Whether the plugin, or the end of its tool call, closed it."""
        self.ended: tuple[int, str] | None = None
        self.in_tool = False

    def end(self, code: int = 1000, reason: str = "") -> "FakeSocket":
        """Close from the server's side, after `messages`; return the socket."""
        self.ended = (code, reason)
        return self


def fake_answer(
    *,
    json: Any = None,
    text: str | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return an answer for `FakeHost.answer`. The body is `json` or `text`, or empty."""
    return {
        "status": status,
        "headers": headers or {},
        "body": text if json is None else json,
        "body_kind": "json" if json is not None else "empty" if text is None else "text",
    }


def _denied(what: Any) -> Any:
    raise HostError("denied.not_granted", f"this test grants no {what!r}")


class FakeHost:
    """See the module docstring. Raise HostError in `answer` or `connect` to refuse."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.requests: list[dict[str, Any]] = []
        """What was asked by `ctx.request`, in order."""
        self.answer: Callable[[dict[str, Any]], dict[str, Any]] = _denied
        self.connect: Callable[[str], FakeSocket] = _denied
        self.sockets: dict[int, FakeSocket] = {}
        """The open ones, by handle."""
        self.in_tool = False
        self._handles = itertools.count(1)

    def __call__(self, op: str, arguments: str) -> str:
        """Carry out one call as the host does."""
        try:
            answer = self._carry_out(op, _json.loads(arguments))
        except HostError as exc:
            return _json.dumps(
                {"error": {"code": exc.code, "message": exc.message, "hint": exc.hint}}
            )
        return _json.dumps({"ok": answer})

    def end_tool(self) -> None:
        """Close what was opened since the tool call began."""
        self.in_tool = False
        for handle in [handle for handle, one in self.sockets.items() if one.in_tool]:
            self.sockets.pop(handle).closed = True

    def _carry_out(self, op: str, arguments: list[Any]) -> dict[str, Any]:
        if op == "state.get":
            (key,) = arguments
            return {"value": _json.dumps(self.state[key]) if key in self.state else None}
        if op == "state.set":
            key, text = arguments
            value = _json.loads(text)
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
            return {}
        if op == "request.request":
            self.requests.append(arguments[0])
            return self.answer(arguments[0])
        if op == "websocket.open":
            socket = self.connect(arguments[0]["url"])
            handle = next(self._handles)
            self.sockets[handle] = socket
            socket.in_tool = self.in_tool
            return {"handle": handle, "url": arguments[0]["url"], "protocol": socket.protocol}
        return self._use(op, *arguments)

    def _use(self, op: str, handle: int, *arguments: Any) -> dict[str, Any]:
        if op == "websocket.close":
            closed = self.sockets.pop(handle, None)
            if closed is not None:
                closed.closed = True
            return {"closed": closed is not None}
        socket = self.sockets.get(handle)
        if socket is None:
            raise HostError("service.handle", f"no socket has the handle {handle}")
        if op == "websocket.recv":
            return self._receive(handle, socket)
        if op == "websocket.status":
            return {"state": "open", "handle": handle, "waiting_messages": len(socket.messages)}
        if socket.ended is not None:
            raise HostError("connection.not_open", "the socket is closed")
        message: str | bytes = arguments[0]
        if op == "websocket.send-binary":
            message = base64.b64decode(arguments[0])
        socket.sent.append(message)
        return {"sent": True, "bytes": len(message)}

    def _receive(self, handle: int, socket: FakeSocket) -> dict[str, Any]:
        if socket.messages:
            message = socket.messages.popleft()
            if isinstance(message, str):
                return {"type": "text", "text": message}
            return {"type": "binary", "data": base64.b64encode(message).decode("ascii")}
        if socket.ended is None:
            raise HostError("connection.timeout", "no message came")
        del self.sockets[handle]
        code, reason = socket.ended
        return {"type": "closed", "code": code, "reason": reason, "clean": True}

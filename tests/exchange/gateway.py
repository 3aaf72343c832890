"""An exchange that behaves like Binance's spot market, for tests: streams, a signed API, orders.

    async with Exchange() as exchange:
        ...  # a client dials exchange.ws_port, asks exchange.http_port
        exchange.trade("BTCUSDT", bid="100.1")

`test_gateway.py` runs Binance's own client against it, unmodified. Signatures are checked with
`cryptography` and `hmac`, by what their documents say.
"""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.changing import Changing
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from yoi.testing.http_server import HttpAnswer, HttpRequest, HttpServer

_WINDOW_MS = 5_000


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Market:
    """The order book of one symbol."""

    symbol: str
    last: int = 100
    """The number of the last change."""
    bids: dict[str, str] = field(default_factory=lambda: {"100.00": "1"})
    asks: dict[str, str] = field(default_factory=lambda: {"101.00": "1"})

    def snapshot(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "lastUpdateId": self.last,
            "bids": [[price, amount] for price, amount in self.bids.items()],
            "asks": [[price, amount] for price, amount in self.asks.items()],
        }

    def change(self, bids: dict[str, str], asks: dict[str, str]) -> dict[str, Any]:
        """Apply a change of one or more numbers and return it as it is sent."""
        first, self.last = self.last + 1, self.last + max(1, len(bids) + len(asks))
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, amount in levels.items():
                side[price] = amount
                if float(amount) == 0:
                    del side[price]
        return {
            "e": "depthUpdate",
            "E": int(time.time() * 1000),
            "s": self.symbol,
            "U": first,
            "u": self.last,
            "b": [list(level) for level in bids.items()],
            "a": [list(level) for level in asks.items()],
        }


@dataclass(eq=False)
class Socket:
    """The exchange's end of one socket."""

    path: str
    _socket: ServerConnection
    streams: set[str] = field(default_factory=set)
    account: str | None = None
    """The API key that is signed in."""
    received: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, value: Any) -> None:
        """Send one message, or nothing where the socket is gone."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(json.dumps(value))

    def kill(self) -> None:
        """End the TCP connection with a reset."""
        self._socket.transport.abort()


class Exchange(Changing):
    """See the module docstring. Listens on free ports of 127.0.0.1."""

    wait_seconds = 30.0

    def __init__(self) -> None:
        super().__init__()
        self.key_id, self.key = "K" * 64, Ed25519PrivateKey.generate()
        self.trade_id, self.trade_key = "T" * 64, "s3cr3t-" * 8
        self.revoked: set[str] = set()
        """API keys that are refused."""
        self.markets = {name: Market(name) for name in ("BTCUSDT", "ETHUSDT")}
        self.sockets: list[Socket] = []
        """All there ever were, oldest first."""
        self.closed = 0
        self.orders: list[dict[str, str]] = []
        self.asked: list[HttpRequest] = []
        self.busy = 0
        """So many of the next requests are told to wait."""
        self.stale = 0
        """So many of the next snapshots are older than every change that was sent."""
        self._ids = itertools.count(1)
        self._http = HttpServer(self._answer)
        self._server: Server | None = None
        self.ws_port = 0

    @property
    def pem(self) -> str:
        """Return the private key as an operator would store it."""
        return _pem(self.key)

    @property
    def http_port(self) -> int:
        """Return the port of the HTTP half."""
        return self._http.port

    def on(self, path: str) -> list[Socket]:
        """Return the sockets at `path`, oldest first."""
        return [socket for socket in self.sockets if socket.path == path]

    async def followed(self, number: int = 1) -> Socket:
        """Wait until a client follows a stream on its socket `number`; return that one."""
        await self.until(lambda: len(self._following()) >= number)
        return self._following()[number - 1]

    async def signed_in(self, number: int = 1) -> Socket:
        """Wait until a client has signed in `number` times; return the last one's socket."""
        await self.until(lambda: len([s for s in self.sockets if s.account]) >= number)
        return [socket for socket in self.sockets if socket.account][number - 1]

    async def trade(
        self,
        symbol: str = "BTCUSDT",
        *,
        bids: dict[str, str] | None = None,
        asks: dict[str, str] | None = None,
        lost: bool = False,
    ) -> None:
        """Change a book and tell those who follow it; a lost change is numbered and not sent."""
        change = self.markets[symbol].change(bids or {}, asks or {})
        if lost:
            return
        name = f"{symbol.lower()}@depth@100ms"
        for socket in self.sockets:
            if name in socket.streams:
                wrapped = {"stream": name, "data": change}
                await socket.send(wrapped if socket.path == "/stream" else change)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        self._server = await serve(
            self._serve, "127.0.0.1", self.ws_port, ping_interval=None, close_timeout=1
        )
        self.ws_port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        await self._http.__aexit__(kind, value, trace)

    def _following(self) -> list[Socket]:
        return [socket for socket in self.sockets if socket.streams]

    # -- sockets ----------------------------------------------------------------------------------

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        made = Socket(urlsplit(socket.request.path).path, socket)
        self.sockets.append(made)
        self._changed()
        try:
            async for text in socket:
                message = json.loads(text)
                made.received.append(message)
                heard = self._api if made.path == "/ws-api/v3" else self._stream
                await made.send(heard(made, message))
                self._changed()
        except ConnectionClosed:
            pass
        finally:
            made.streams.clear()
            self.closed += 1
            self._changed()

    def _stream(self, socket: Socket, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("method") != "SUBSCRIBE":
            return {"error": {"code": 2, "msg": "Invalid request"}, "id": message.get("id")}
        socket.streams |= set(message["params"])
        return {"result": None, "id": message.get("id")}

    def _api(self, socket: Socket, message: dict[str, Any]) -> dict[str, Any]:
        method, params = message.get("method"), message.get("params") or {}
        refusal = None
        if method == "session.logon":
            refusal = self._logon_fault(params)
            result: dict[str, Any] = {"apiKey": params.get("apiKey"), "connectedSince": 1}
            socket.account = None if refusal else params["apiKey"]
        elif method == "account.status":
            if socket.account is None or socket.account in self.revoked:
                refusal = (-2015, "Invalid API-key, IP, or permissions for action.")
            result = {"balances": [{"asset": "BTC", "free": "1.5", "locked": "0"}]}
        else:
            refusal, result = (-1130, "unknown method"), {}
        answer: dict[str, Any] = {"id": message.get("id"), "status": 200, "rateLimits": []}
        if refusal is None:
            return {**answer, "result": result}
        code, words = refusal
        return {**answer, "status": 401, "error": {"code": code, "msg": words}}

    def _logon_fault(self, params: dict[str, Any]) -> tuple[int, str] | None:
        if params.get("apiKey") != self.key_id or self.key_id in self.revoked:
            return -2015, "Invalid API-key, IP, or permissions for action."
        if abs(int(params.get("timestamp", 0)) - time.time() * 1000) > _WINDOW_MS:
            return -1021, "Timestamp for this request is outside of the recvWindow."
        signed = sorted((key, value) for key, value in params.items() if key != "signature")
        payload = "&".join(f"{key}={value}" for key, value in signed)
        try:
            self.key.public_key().verify(base64.b64decode(params["signature"]), payload.encode())
        except (InvalidSignature, ValueError, KeyError):
            return -1022, "Signature for this request is not valid."
        return None

    # -- HTTP -------------------------------------------------------------------------------------

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        self.asked.append(request)
        self._changed()
        if self.busy:
            self.busy -= 1
            refused = {"code": -1003, "msg": "Too many requests."}
            return HttpAnswer.of_json(refused, 429, {"retry-after": "1"})
        if (request.method, request.path) == ("GET", "/api/v3/depth"):
            return self._depth(request)
        if (request.method, request.path) == ("POST", "/api/v3/order"):
            return self._order(request)
        return HttpAnswer.of_json({"code": -1, "msg": "no such endpoint"}, 404)

    def _depth(self, request: HttpRequest) -> HttpAnswer:
        market = self.markets.get(request.values().get("symbol", ""))
        if market is None:
            return HttpAnswer.of_json({"code": -1121, "msg": "Invalid symbol."}, 400)
        snapshot = market.snapshot()
        if self.stale:
            self.stale -= 1
            snapshot["lastUpdateId"] = 1
        return HttpAnswer.of_json(snapshot)

    def _order(self, request: HttpRequest) -> HttpAnswer:
        query, _, signature = urlsplit(request.target).query.rpartition("&signature=")
        right = hmac.new(self.trade_key.encode(), query.encode() + request.body, hashlib.sha256)
        if request.headers.get("x-mbx-apikey") != self.trade_id or self.trade_id in self.revoked:
            return HttpAnswer.of_json({"code": -2015, "msg": "Invalid API-key."}, 401)
        if not hmac.compare_digest(right.hexdigest(), signature):
            return HttpAnswer.of_json({"code": -1022, "msg": "Signature is not valid."}, 400)
        order = dict(parse_qsl(query))
        if abs(int(order.get("timestamp", 0)) - time.time() * 1000) > _WINDOW_MS:
            return HttpAnswer.of_json({"code": -1021, "msg": "Timestamp is outside."}, 400)
        known = order.get("newClientOrderId")
        if known and any(one.get("newClientOrderId") == known for one in self.orders):
            return HttpAnswer.of_json({"code": -2010, "msg": "Duplicate order sent."}, 400)
        self.orders.append(order)
        return HttpAnswer.of_json(
            {
                "symbol": order["symbol"],
                "orderId": next(self._ids),
                "orderListId": -1,
                "clientOrderId": known or "",
                "transactTime": int(time.time() * 1000),
                "price": order["price"],
                "origQty": order["quantity"],
                "executedQty": "0",
                "status": "NEW",
            }
        )

"""One request and its answer over one connected socket. HTTP/1.1 itself is h11's business."""

import asyncio
import re
import ssl
from collections.abc import Generator
from dataclasses import dataclass, field

import h11

from yoi.connections.answer_pace import AnswerPace
from yoi.connections.background_work import BackgroundWork
from yoi.connections.pausing_reader import PausingReader
from yoi.connections.requests import PreparedRequest
from yoi.connections.tls_failures import tls_failure
from yoi.errors import RequestFailure
from yoi.limits import LIMITS, Limits
from yoi.permissions import Url

_START = b"HTTP/1."
_SWITCHING = re.compile(rb"HTTP/1\.[01] 101(?:[ \r\n]|\Z)")
# Answers that are made to never end.
_STREAMS = ("text/event-stream", "multipart/x-mixed-replace")

_NO_HTTP = "is the port of the URL right, and does the server speak HTTP/1.1?"
_HEAD = "no setting allows more: the server has to send less of it"
_CUT = "the server, or something in between, ended it; a request that may be repeated can be"

RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came, its body within the bound."""

    status: int
    headers: RawHeaders = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """Return the first value of `name`, '' where there is none."""
        wanted = name.encode()
        for found, value in self.headers:
            if found == wanted:
                return value.decode("latin-1")
        return ""


class Exchange:
    """See the module docstring; used once, closed by its owner."""

    def __init__(
        self,
        reader: PausingReader,
        transport: asyncio.Transport,
        background: BackgroundWork,
        pace: AnswerPace,
        limits: Limits,
        max_answer_bytes: int,
    ) -> None:
        self._reader = reader
        self._background = background
        self._pace = pace
        self._transport = transport
        self._limits = limits
        self._most = max_answer_bytes
        self._ended = False
        self._pieces = 0
        self._http = h11.Connection(
            h11.CLIENT, max_incomplete_event_size=limits.response_head_bytes
        )

    async def run(self, request: PreparedRequest, url: Url) -> RawAnswer:
        """Write `request` for `url` and return its answer.

        The body is not read beyond its bound. Raises RequestFailure: `request.answer_too_large`,
        `request.lost`, `request.protocol`, `request.too_large`, `request.upgrade`,
        `request.event_stream`.
        """
        self._write(request, url)
        try:
            head = await self._read_head()
            if not request.reads_stream:
                self._check_stream(head)
            body = await self._read_body(head.status_code)
        except ssl.SSLError as exc:
            # TLS 1.3: a server judges the client's certificate after the handshake.
            failed = tls_failure(url, exc, request.certificate)
            raise RequestFailure("request.tls", failed.message, hint=failed.hint) from None
        except OSError as exc:
            raise RequestFailure(
                "request.lost", f"{url.display}: the connection was lost: {exc}", hint=_CUT
            ) from None
        return RawAnswer(head.status_code, list(head.headers), body)

    def _write(self, request: PreparedRequest, url: Url) -> None:
        """Hand everything to the transport at once: it is bounded, and an early answer is heard."""
        parts = [
            self._http.send(
                h11.Request(
                    method=request.method,
                    target=url.request_target,
                    headers=request.head(url),
                )
            )
        ]
        if request.body:
            parts.append(self._http.send(h11.Data(data=request.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self._transport.write(b"".join(part or b"" for part in parts))

    async def _read_head(self) -> h11.Response:
        left = self._limits.response_head_bytes
        for _ in range(self._limits.response_interim + 1):
            event, left = await self._next_head(left)
            if isinstance(event, h11.Response):
                if not event.http_version.startswith(b"1."):
                    raise _no_http()
                if len(event.headers) > self._limits.response_headers:
                    raise RequestFailure(
                        "request.too_large",
                        f"the answer has more than {self._limits.response_headers} headers",
                        hint=_HEAD,
                    )
                return event
        raise RequestFailure(
            "request.protocol", "the answer is interim answers without end", hint=_NO_HTTP
        )

    async def _next_head(self, left: int) -> tuple[h11.Response | h11.InformationalResponse, int]:
        """Return the next head; `left` bounds the bytes of all of them."""
        while True:
            waiting, _ = self._http.trailing_data
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise self._broken(exc, waiting) from None
            if isinstance(event, h11.Response | h11.InformationalResponse):
                left -= len(waiting) - len(self._http.trailing_data[0])
                if left < 0:
                    raise self._head_too_large()
                return event, left
            if event is not h11.NEED_DATA:
                raise RequestFailure(
                    "request.lost", "the connection ended before an answer", hint=_CUT
                )
            if len(waiting) > left:
                raise self._head_too_large()
            if waiting[: len(_START)] != _START[: len(waiting)]:
                # h11 would wait for the end of a head: a mail server's greeting has none.
                raise _no_http()
            await self._receive()

    async def _read_body(self, status: int) -> bytes:
        """Return the body, of which the loop does a little at a time: others have their turn."""
        body, moved = bytearray(), 0
        while not await self._background.in_slices(self._body_read(body, status), moved):
            moved = await self._receive()
        return bytes(body)

    def _body_read(self, body: bytearray, status: int) -> Generator[None, None, bool]:
        """Add what has arrived to `body`, a piece in each step; return whether it is whole."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise self._broken(exc, b"") from None
            if isinstance(event, h11.Data):
                self._pieces += 1
                if self._pieces > self._limits.response_pieces:
                    raise RequestFailure(
                        "request.too_large",
                        f"the answer comes in more than {self._limits.response_pieces} pieces",
                        hint=_HEAD,
                    )
                body += event.data
                if len(body) > self._most:
                    raise _answer_too_large(status, self._most)
            elif isinstance(event, h11.EndOfMessage):
                return True
            elif event is h11.NEED_DATA:
                return False
            else:
                raise RequestFailure(
                    "request.lost", "the connection ended within the answer", hint=_CUT
                )
            yield

    async def _receive(self) -> int:
        """Hand what arrives next to h11; return how many bytes that is, 0 at the end."""
        await self._pace.ready()
        data = await self._reader.read()
        self._pace.came(len(data))
        self._ended = not data
        self._http.receive_data(data)
        return len(data)

    def _check_stream(self, head: h11.Response) -> None:
        for name, value in head.headers:
            if name == b"content-type" and value.decode("latin-1").lower().startswith(_STREAMS):
                raise RequestFailure(
                    "request.event_stream",
                    "the server answers with a stream that does not end; a request has one answer",
                    hint="ask for a URL with an answer that ends",
                    status=head.status_code,
                )

    def _broken(self, exc: h11.RemoteProtocolError, waiting: bytes) -> RequestFailure:
        if _SWITCHING.match(waiting):
            return RequestFailure(
                "request.upgrade", "the server switches to another protocol unasked", hint=_NO_HTTP
            )
        if exc.error_status_hint == 431:
            return self._head_too_large()
        if self._ended:
            return RequestFailure(
                "request.lost", "the connection ended before the answer was complete", hint=_CUT
            )
        # What h11 quotes of the answer, after a colon, may be a cookie: it is not repeated.
        why = str(exc).partition(":")[0]
        return RequestFailure(
            "request.protocol", f"the answer is not HTTP/1.1: {why}", hint=_NO_HTTP
        )

    def _head_too_large(self) -> RequestFailure:
        return RequestFailure(
            "request.too_large",
            f"the answer's head is over {self._limits.response_head_bytes} bytes",
            hint=_HEAD,
        )


def _no_http() -> RequestFailure:
    return RequestFailure("request.protocol", "the server does not speak HTTP/1.1", hint=_NO_HTTP)


def _answer_too_large(status: int, most: int) -> RequestFailure:
    allowed = LIMITS.message_max_bytes
    hint = (
        f"max_answer_bytes = {min(4 * most, allowed)}   # in the [[request]] target, in "
        "plugin.toml; then: yoi plugin enable"
        if most < allowed
        else "no target may allow more: ask the server for less at once"
    )
    return RequestFailure(
        "request.answer_too_large",
        f"the answer ({status}) has more than the {most} bytes that its target allows",
        hint=hint,
        status=status,
        truncated=True,
    )

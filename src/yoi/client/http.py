"""What is asked and answered: what can be watched (`GET /api/runtimes`; a runtime's inventory)."""

import asyncio
import contextlib
import ssl
from typing import Any

import h11
import msgspec

from yoi.client.outcomes import of_answer, of_failed_dial
from yoi.client.target import Server, trusting
from yoi.errors import ObserveError
from yoi.limits import LIMITS, Limits
from yoi.protocol.depth import deeper_than
from yoi.protocol.observation import SubjectKind

_READ_BYTES = 65536


class RuntimeListing(msgspec.Struct, kw_only=True):
    """One runtime as a backend lists it; its lists hold what may be watched."""

    runtime_id: str
    state: str
    since: str | None = None
    workers: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    boards: list[dict[str, Any]] = []

    def rows(self, kind: SubjectKind) -> list[dict[str, Any]]:
        """Return what is listed of one kind."""
        return {
            SubjectKind.WORKER: self.workers,
            SubjectKind.SERVICE: self.services,
            SubjectKind.BOARD: self.boards,
        }[kind]


async def runtimes(
    server: Server, *, tls: ssl.SSLContext | None = None, limits: Limits = LIMITS
) -> list[RuntimeListing]:
    """Return what a backend lists. Raises ObserveError; `observe.unreachable` may pass."""
    body = await fetch(server, "/api/runtimes", tls=tls, limits=limits)
    try:
        listed = msgspec.json.decode(body, type=list[RuntimeListing])
    except (msgspec.DecodeError, RecursionError):
        raise ObserveError("observe.refused", "the server's list cannot be read") from None
    if deeper_than(
        [[one.rows(kind) for kind in SubjectKind] for one in listed], limits.observed_depth
    ):
        raise ObserveError("observe.refused", "the server's list is nested too deeply")
    return listed


async def fetch(
    server: Server, path: str, *, tls: ssl.SSLContext | None = None, limits: Limits = LIMITS
) -> bytes:
    """Return the body of the answer to `GET path`, where it is 200. Raises ObserveError."""
    status, headers, body = await asked(server, path, None, tls=tls, limits=limits)
    if status != 200:
        judged = of_answer(status, headers, body)
        raise judged.error or _unreachable(judged.message)
    return body


async def asked(
    server: Server,
    path: str,
    document: bytes | None,
    *,
    tls: ssl.SSLContext | None = None,
    limits: Limits = LIMITS,
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers in lower case and body of the answer: to a GET, or to a POST of JSON.

    Raises ObserveError where there is none.
    """
    try:
        async with asyncio.timeout(limits.observe_open_ms / 1000):
            return await _answered(server, path, document, tls, limits)
    except ObserveError:
        raise
    except h11.RemoteProtocolError:
        raise _unreachable("the server's answer is not HTTP/1.1") from None
    except Exception as exc:
        leave = of_failed_dial(exc)
        raise leave.error or _unreachable(leave.message) from None


async def _answered(
    server: Server, path: str, document: bytes | None, tls: ssl.SSLContext | None, limits: Limits
) -> tuple[int, dict[str, str], bytes]:
    context = (tls or trusting()) if server.secure else None
    reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
    try:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.response_head_bytes)
        head = [
            ("Host", server.authority),
            ("Authorization", f"Bearer {server.token.reveal()}"),
            ("Accept", "application/json"),
            ("Connection", "close"),
        ]
        if document is not None:
            head += [("Content-Type", "application/json"), ("Content-Length", str(len(document)))]
        method = "GET" if document is None else "POST"
        sent: list[h11.Event] = [
            h11.Request(method=method, target=server.prefix + path, headers=head),
            *([] if document is None else [h11.Data(data=document)]),
            h11.EndOfMessage(),
        ]
        writer.write(b"".join(http.send(event) or b"" for event in sent))
        await writer.drain()
        return await _answer(http, reader, limits)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _answer(
    http: h11.Connection, reader: asyncio.StreamReader, limits: Limits
) -> tuple[int, dict[str, str], bytes]:
    head: h11.Response | None = None
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limits.observe_answer_bytes:
                raise ObserveError("observe.refused", "the server's answer is over its bound")
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers
            }
            return head.status_code, headers, bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("the connection ended")


def _unreachable(words: str) -> ObserveError:
    return ObserveError("observe.unreachable", words)

"""Run the cases of Autobahn's fuzzing server through Yoi's own driver: echo, case by case.

    python compliance/autobahn_client.py ws://127.0.0.1:PORT

The whole driver is under test, within the product's own bounds: session machine, dialler, wire.
"""

import asyncio
import random
import sys
from collections.abc import Mapping
from typing import Any

import uvloop

from yoi.connections import HostConnection, SocketConnector, SystemResolver
from yoi.core.session_effects import OpenReason
from yoi.errors import YoiError
from yoi.limits import LIMITS, MIB
from yoi.permissions import Decision, Url, own_target
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.types import SessionId, SystemClock

AGENT = "yoi"
ALLOWED = Decision(allowed=True, private_addresses=True, max_message_bytes=16 * MIB)


class Echo:
    """Sends everything back, and remembers the last text and the end."""

    def __init__(self) -> None:
        self.host: HostConnection | None = None
        self.ended = asyncio.Event()
        self.last_text = ""

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        pass

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        self.last_text = text
        self._reply(session, text)

    def binary(self, session: SessionId, data: bytes) -> None:
        self._reply(session, data)

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        self.ended.set()

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        pass

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        if error.code == "connection.refused":
            print(error, file=sys.stderr)
        self.ended.set()

    def reconnect_needed(
        self, session: SessionId | None, why: str, attempt: int, retry_in_ms: float, fresh: bool
    ) -> None:
        pass

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        pass

    def _reply(self, session: SessionId, message: str | bytes) -> None:
        assert self.host is not None
        try:
            if isinstance(message, str):
                self.host.send_text(session, message)
            else:
                self.host.send_binary(session, message)
        except YoiError as exc:
            # A case may close before its echo; anything else is a defect.
            if exc.code not in ("connection.session_ended", "connection.not_open"):
                raise


async def run(url: str) -> str:
    """Connect once, echo until the server ends it, and return the last text."""
    sink = Echo()
    sink.host = host = HostConnection(
        ConnectionSettings(
            name="autobahn",
            ingress="none",
            url=Url.parse(url),
            target=own_target(Url.parse(url)),
            backoff_first_ms=60_000,
        ),
        sink,
        authorise=lambda _: ALLOWED,
        clock=SystemClock(),
        rng=random.random,
        connector=SocketConnector(limits=LIMITS),
        resolver=SystemResolver(LIMITS),
        limits=LIMITS,
    )
    host.start()
    await sink.ended.wait()
    await host.close()
    return sink.last_text


async def main(server: str) -> None:
    count = int(await run(f"{server}/getCaseCount"))
    for number in range(1, count + 1):
        print(f"\r{number}/{count}", end="", file=sys.stderr, flush=True)
        await run(f"{server}/runCase?case={number}&agent={AGENT}")
    print(file=sys.stderr)
    await run(f"{server}/updateReports?agent={AGENT}")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))

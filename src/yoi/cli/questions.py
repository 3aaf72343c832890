"""Asks the person at the terminal about calls that wait, while the screen goes on following."""

import contextlib
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from yoi.cli.deciding import PROMPT, typed
from yoi.cli.worker_stream import WorkerStream
from yoi.errors import YoiError
from yoi.protocol.events import ApprovalRequestData


class Questions:
    """What is typed is about the call shown last; what was typed before it was shown is dropped."""

    def __init__(self, decide: Callable[[dict[str, Any]], object], stream: WorkerStream) -> None:
        self._decide = decide
        self._stream = stream
        self._shown: ApprovalRequestData | None = None
        self._reading: threading.Thread | None = None

    def hear(self, event: Mapping[str, Any]) -> None:
        """Ask about a call that begins to wait, and no more about one that was decided."""
        match event.get("event"):
            case "approval_request":
                self._ask(msgspec.convert(event["data"], ApprovalRequestData))
            case "approval_done":
                self._shown = None
                self._stream.line(f"decided by {event['data']['by']}", "dim")
            case _:
                pass

    def _ask(self, call: ApprovalRequestData) -> None:
        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
        self._shown = call
        self._stream.line(PROMPT, "cyan")
        if self._reading is None:
            # A line of a terminal cannot be waited for together with the host's answers. The thread
            # ends with the process.
            self._reading = threading.Thread(target=self._read, daemon=True)
            self._reading.start()

    def _read(self) -> None:
        for line in sys.stdin:
            call = self._shown
            if call is None:
                continue
            try:
                decision = typed(line, call.arguments)
                if decision is not None:
                    self._decide({"item": call.item, **decision})
            except YoiError as exc:
                self._stream.line(str(exc), "red")

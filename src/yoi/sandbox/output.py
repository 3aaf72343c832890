"""What a guest printed or logged, as bounded lines that are safe to show."""

import threading
from dataclasses import dataclass

from yoi.display import printable
from yoi.limits import Limits

LEVELS = frozenset({"debug", "info", "warning", "error"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of guest output: escaped, on one line, at most `log_line_chars` long.

    `stream` is stdout, stderr, log (the guest called the host) or host (the host's own remark:
    `dropped` bytes of output were over the bound). `level` is debug, info, warning or error.
    """

    stream: str
    level: str
    text: str
    dropped: int = 0


class Output:
    """Collect one guest's output; `take` hands it over. At most `log_bytes` are held."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = (
            threading.Lock()
        )  # the guest writes on its thread, the runtime takes on its own
        self._lines: list[LogLine] = []
        self._partial: dict[str, bytearray] = {}
        self._held = 0
        self._dropped = 0

    def write(self, stream: str, data: bytes, size: int) -> None:
        """Take `data`, the first bytes of a write of `size` bytes to stdout or stderr."""
        with self._lock:
            self._write(stream, data, size)

    def _write(self, stream: str, data: bytes, size: int) -> None:
        room = max(0, self._limits.log_bytes - self._held)
        kept = data[:room]
        self._held += len(kept)
        self._dropped += size - len(kept)
        if not kept:
            return
        pending = self._partial.setdefault(stream, bytearray())
        pending += kept
        if b"\n" in kept:
            *whole, rest = bytes(pending).split(b"\n")
            self._partial[stream] = bytearray(rest)
            for line in whole:
                self._add(stream, "info", line.decode("utf-8", "replace"), len(line))

    def log(self, level: str, message: str) -> None:
        """Take one message that the guest logged; an unknown level counts as info."""
        size = len(message)
        with self._lock:
            if self._held + size > self._limits.log_bytes:
                self._dropped += size
                return
            self._held += size
            self._add("log", level if level in LEVELS else "info", message, size)

    def take(self) -> list[LogLine]:
        """Return the lines since the last call, with what was left unfinished and lost."""
        if not self._held and not self._dropped:
            return []
        with self._lock:
            return self._take()

    def _take(self) -> list[LogLine]:
        for stream, rest in self._partial.items():
            if rest:
                self._add(stream, "info", rest.decode("utf-8", "replace"), len(rest))
        lines, dropped = self._lines, self._dropped
        self._lines, self._partial, self._held, self._dropped = [], {}, 0, 0
        if dropped:
            lines.append(LogLine("host", "warning", f"{dropped} bytes of output dropped", dropped))
        return lines

    def _add(self, stream: str, level: str, text: str, size: int) -> None:
        if len(self._lines) >= self._limits.log_lines:
            self._dropped += size + 1
            return
        text = printable(text.rstrip("\r"), self._limits.log_line_chars)
        self._lines.append(LogLine(stream, level, text))

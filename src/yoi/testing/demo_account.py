"""What a gateway sent and what came back, kept so that a SIGKILL loses nothing it had recorded.

The account is a fold over records. Each record is one line of a journal, appended with one write
before the fact it states becomes visible: a send is recorded before the frame leaves, an answer
before the next frame is chosen. A line torn by a crash is dropped when the journal is read again.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Record = list[Any]
Verdict = Literal["answered", "late", "duplicate", "unknown", "malformed"]
LISTED = 1000
"""How many unanswered frames a report names one by one; their count is always exact."""


@dataclass(slots=True)
class Sent:
    """One frame that has no answer yet."""

    at_ms: int
    broke_ms: int | None = None
    lost: bool = False


@dataclass(slots=True)
class Account:
    """Every frame is in exactly one place: `outstanding`, `answered`, or (after a break) lost."""

    last_id: int = 0
    sessions: int = 0
    restarts: int = 0
    answered: dict[int, int | None] = field(default_factory=dict)
    pending: dict[int, Sent] = field(default_factory=dict)
    late: int = 0
    duplicates: int = 0
    unknown: int = 0
    malformed: int = 0
    reordered: int = 0
    _highest: int = 0

    @property
    def outstanding(self) -> int:
        """Return how many frames wait for an answer on a connection that still stands."""
        return sum(not sent.lost for sent in self.pending.values())

    def judge(self, number: object) -> Verdict:
        """Return what an answer to frame `number` would be, without recording it."""
        if type(number) is not int:
            return "malformed"
        sent = self.pending.get(number)
        if sent is not None:
            return "late" if sent.lost else "answered"
        return "duplicate" if number in self.answered else "unknown"

    def apply(self, record: Record) -> None:
        """Fold one record in. Raises ValueError, KeyError or TypeError for one that cannot be."""
        match record:
            case ["sent", int(number), int(at_ms)]:
                if number != self.last_id + 1:
                    raise ValueError(f"frame {number} does not follow {self.last_id}")
                self.last_id = number
                self.pending[number] = Sent(at_ms)
            case ["answered" | "late" as verdict, int(number), (int() | None) as latency_us]:
                del self.pending[number]
                self.answered[number] = latency_us
                if verdict == "late":
                    self.late += 1
                else:
                    self.reordered += number < self._highest
                    self._highest = max(self._highest, number)
            case ["duplicate" | "unknown" | "malformed" as verdict]:
                counter = "duplicates" if verdict == "duplicate" else verdict
                setattr(self, counter, getattr(self, counter) + 1)
            case ["opened", int()]:
                self.sessions += 1
            case ["broke", (int() | None) as at_ms]:
                for sent in self.pending.values():
                    if not sent.lost:
                        sent.lost, sent.broke_ms = True, at_ms
            case ["restarted", int()]:
                self.restarts += 1
            case _:
                raise ValueError(f"not a record: {record!r}")

    def report(self) -> dict[str, Any]:
        """Return the whole account as JSON values.

        `unanswered` lists at most `LISTED` frames: when each was sent and when the gateway saw its
        connection break (null: the gateway itself was killed, or the connection still stands).
        """
        latencies = sorted(us for us in self.answered.values() if us is not None)
        return {
            "sent": self.last_id,
            "answered": len(self.answered),
            "outstanding": self.outstanding,
            "lost": len(self.pending) - self.outstanding,
            "late": self.late,
            "duplicates": self.duplicates,
            "unknown": self.unknown,
            "malformed": self.malformed,
            "reordered": self.reordered,
            "sessions": self.sessions,
            "restarts": self.restarts,
            "p50_ms": percentile_ms(latencies, 50),
            "p99_ms": percentile_ms(latencies, 99),
            "unanswered": [
                {"id": number, "sent_ms": sent.at_ms, "broke_ms": sent.broke_ms}
                for number, sent in list(self.pending.items())[:LISTED]
            ],
        }


def percentile_ms(ordered_us: list[int], percent: int) -> float | None:
    """Return the nearest-rank percentile of sorted microseconds, in milliseconds; None of none."""
    if not ordered_us:
        return None
    rank = max(1, -(-len(ordered_us) * percent // 100))
    return round(ordered_us[rank - 1] / 1000, 3)


class Journal:
    """An append-only file of records and the account they add up to. One writer at a time."""

    def __init__(self, path: Path, now_ms: int) -> None:
        """Read what an earlier process left, cut off a torn last line, and go on from there."""
        self.account = Account()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with open(self._fd, "rb", closefd=False) as file:
                data = file.read()
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                os.ftruncate(self._fd, whole)
            for line in data[:whole].splitlines():
                self.account.apply(json.loads(line))
            if whole:
                # What was under way then has lost its connection; when is not known.
                self.record("restarted", now_ms)
                self.record("broke", None)
        except BaseException:
            self.close()
            raise

    def record(self, *record: Any) -> None:
        """Append one record and fold it into the account."""
        self.account.apply(list(record))
        os.write(self._fd, json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

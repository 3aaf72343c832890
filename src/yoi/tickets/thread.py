"""A thread.md: events behind HTML comments, only ever added to.

    <!-- event: comment author: "Ada B" at: 2026-01-31T12:00:00Z -->

    ## Comment

    The text.

    ---

An event begins at such a comment outside of a fenced code block. `---` bounds nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from yoi.errors import TicketError
from yoi.limits import LIMITS
from yoi.tickets.files import encoded

_EVENT = "<!-- event"
_HEAD = re.compile(r"<!-- event: (?P<kind>[A-Za-z0-9_.-]{1,64})(?P<rest>(?: .*)?) -->[ \t]*")
_ATTRIBUTE = re.compile(r' (?P<name>[A-Za-z0-9_-]{1,64}): (?P<value>"(?:[^"\\]|\\.)*"|[^\s"]\S*)')
_MARK = re.compile(r"\n(?: {0,3}(?:```|~~~)|<!-- event)")
"""What lines begin with that may begin an event or a code block."""
_STATE_FIELDS = (None, "state", "workflow_state")
_OPEN_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>[^\r\n]*)")


@dataclass(frozen=True, slots=True)
class ThreadEvent:
    """One event. Kinds and attributes that Yoi does not know are kept as they are."""

    kind: str
    attributes: Mapping[str, str]
    line: int
    text: str
    """What follows the comment, up to the next event, without a closing `---`."""

    @property
    def author(self) -> str:
        """Return who wrote it; empty where the event does not say."""
        return self.attributes.get("author", "")

    @property
    def at(self) -> str:
        """Return when, as the event says it; empty where it does not."""
        return self.attributes.get("at", "")


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread: its last events, and what is damaged anywhere in it, as (line, message).

    Of much that is damaged, the first is told, and how much more there is.
    """

    events: tuple[ThreadEvent, ...]
    left_out: int
    """How many older events there are."""
    state: str | None
    """The state that the last event about it sets; None where no event does."""
    damage: tuple[tuple[int, str], ...]

    @property
    def count(self) -> int:
        """Return how many events the thread has."""
        return self.left_out + len(self.events)


class _Damage:
    """What is found to be damaged, within its bound."""

    def __init__(self) -> None:
        self._told: list[tuple[int, str]] = []
        self._more = 0

    def add(self, line: int, message: str) -> None:
        """Take note of one fault."""
        if len(self._told) < LIMITS.ticket_damage:
            self._told.append((line, message))
        else:
            self._more += 1

    def told(self) -> tuple[tuple[int, str], ...]:
        """Return the first faults, and how many more there are at the line of the last of them."""
        if not self._more:
            return tuple(self._told)
        last = self._told[-1][0]
        return (*self._told, (last, f"and {self._more} more faults below"))


def parse_thread(text: str, most: int | None = None) -> Thread:
    """Return what `text` holds, its last `most` events (None: all).

    Never raises: what cannot be read is damage, with its line. Only lines that begin an event or a
    code block are looked at one by one: a thread of 20 MB is read in a fraction of a second.
    """
    starts, opened_at = _layout(text)
    damage = _Damage()
    before = text[: starts[0]] if starts else text
    if before.strip():
        blank = len(before) - len(before.lstrip())
        line = before.count("\n", 0, blank) + 1
        damage.add(line, "there is text before the first event")
    events: list[ThreadEvent] = []
    state: str | None = None
    left_out = 0 if most is None else max(0, len(starts) - most)
    line, counted = 1, 0
    for index, start in enumerate(starts):
        line, counted = line + text.count("\n", counted, start), start
        row = _row(text, start)
        kind, attributes = _head(row.rstrip("\r"), line, damage)
        if kind == "state_changed" and attributes.get("field") in _STATE_FIELDS:
            state = attributes.get("to")
        if index >= left_out:
            end = starts[index + 1] - 1 if index + 1 < len(starts) else len(text)
            body = _body(text[start + len(row) + 1 : end])
            events.append(ThreadEvent(kind, attributes, line, body))
    if opened_at is not None:
        line = text.count("\n", 0, opened_at) + 1
        damage.add(line, "a code block is never closed")
    return Thread(tuple(events), left_out, state, damage.told())


def open_fence(text: str) -> int | None:
    """Return the line of a code block that is never closed: what is added behind it is code."""
    _, opened_at = _layout(text)
    return None if opened_at is None else text.count("\n", 0, opened_at) + 1


def _layout(text: str) -> tuple[list[int], int | None]:
    """Return where events begin, and where a code block begins that is never closed."""
    starts: list[int] = []
    fences = Fences()
    for found in _MARK.finditer("\n" + text):
        # With the line break in front, a match begins where its row does in `text`.
        start = found.start()
        if text.startswith(_EVENT, start):
            if not fences.inside:
                starts.append(start)
        else:
            fences.feed(_row(text, start), start)
    return starts, fences.opened_at if fences.inside else None


def _row(text: str, start: int) -> str:
    end = text.find("\n", start)
    return text[start:] if end < 0 else text[start:end]


class Fences:
    """Whether a line stands in a fenced code block (CommonMark 4.5)."""

    def __init__(self) -> None:
        self._mark = ""
        self.opened_at = 0
        """The position of the block's fence, as `feed` was told it."""

    @property
    def inside(self) -> bool:
        """Return whether the next line stands in a code block."""
        return bool(self._mark)

    @property
    def mark(self) -> str:
        """Return the fence that would close the block."""
        return self._mark

    def feed(self, row: str, at: int) -> None:
        """Take the next line, which stands at the position `at`."""
        found = _OPEN_FENCE.fullmatch(row.rstrip("\r"))
        if found is None:
            return
        mark, info = found["mark"], found["info"]
        if not self._mark:
            if mark[0] == "~" or "`" not in info:
                self._mark, self.opened_at = mark, at
        elif mark[0] == self._mark[0] and len(mark) >= len(self._mark) and not info.strip():
            self._mark = ""


def _head(row: str, number: int, damage: _Damage) -> tuple[str, dict[str, str]]:
    found = _HEAD.fullmatch(row)
    if found is None:
        damage.add(number, "an event's comment cannot be read")
        return "unknown", {}
    attributes: dict[str, str] = {}
    at, rest = 0, found["rest"]
    while at < len(rest):
        one = _ATTRIBUTE.match(rest, at)
        if one is None:
            damage.add(number, "an event's attributes cannot be read to the end")
            break
        name, value = one["name"], one["value"]
        if name in attributes:
            damage.add(number, f"an event has two values of {name}")
        else:
            attributes[name] = _unquoted(value)
        at = one.end()
    return found["kind"], attributes


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _body(text: str) -> str:
    """Return an event's text without carriage returns at line ends and a closing `---`."""
    if "\r" in text:
        text = "\n".join(row.rstrip("\r") for row in text.split("\n"))
    text = text.strip("\n")
    if text == "---" or text.endswith("\n---"):
        text = text[:-3].rstrip("\n")
    return text


def written(kind: str, attributes: Iterable[tuple[str, str]], title: str, text: str) -> str:
    """Return one event as it is added to a thread, from its comment to its `---`.

    Lines of `text` that would begin an event are escaped, and a code block that it leaves open is
    closed, so that what is added can neither forge nor swallow an event. Raises TicketError
    (`ticket.value`) for an attribute that is not one line or text that is not UTF-8,
    `ticket.too_large` for too much text.
    """
    if len(encoded(text)) > LIMITS.ticket_event_bytes:
        raise TicketError(
            "ticket.too_large", f"an event may have {LIMITS.ticket_event_bytes} bytes of text"
        )
    head = "".join(f" {name}: {_attribute(name, value)}" for name, value in attributes)
    body = "\n".join(_harmless(text))
    parts = [f"<!-- event: {kind}{head} -->", "", f"## {_one_line(title)}", ""]
    if body.strip():
        parts += [body.strip("\n"), ""]
    return "\n".join([*parts, "---", ""])


def _attribute(name: str, value: str) -> str:
    if not value or not value.isprintable() or len(value) > LIMITS.ticket_title_chars:
        raise TicketError(
            "ticket.value",
            f"{name} must be one line of 1 to {LIMITS.ticket_title_chars} characters",
        )
    # A comment ends at its first `-->`, quoted or not.
    value = value.replace("--", "- -")
    if re.fullmatch(r'[^\s"\\]+', value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _harmless(text: str) -> Iterator[str]:
    fences = Fences()
    for number, row in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        inside = fences.inside
        fences.feed(row, number)
        yield row.replace("<", "&lt;", 1) if row.startswith(_EVENT) and not inside else row
    if fences.inside:
        yield fences.mark


def _one_line(text: str) -> str:
    return " ".join(text.split())

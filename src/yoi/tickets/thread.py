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

_EVENT = "<!-- event"
_HEAD = re.compile(r"<!-- event: (?P<kind>[A-Za-z0-9_.-]{1,64})(?P<rest>(?: .*)?) -->[ \t]*")
_ATTRIBUTE = re.compile(r' (?P<name>[A-Za-z0-9_-]{1,64}): (?P<value>"(?:[^"\\]|\\.)*"|[^\s"]\S*)')
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
    """A whole thread: its events, and what is damaged, as (line, message)."""

    events: tuple[ThreadEvent, ...]
    damage: tuple[tuple[int, str], ...]
    open_fence: int | None
    """The line of a code block that is never closed: what is added behind it would be code."""

    @property
    def state(self) -> str | None:
        """Return the state that the last event about it sets; None where none does."""
        for event in reversed(self.events):
            if event.kind == "state_changed" and event.attributes.get("field") in (
                None,
                "state",
                "workflow_state",
            ):
                return event.attributes.get("to")
        return None


def parse_thread(text: str) -> Thread:
    """Return what `text` holds. Never raises: what cannot be read is damage, with its line."""
    events: list[ThreadEvent] = []
    damage: list[tuple[int, str]] = []
    head: tuple[str, dict[str, str], int] | None = None
    body: list[str] = []
    fences = Fences()
    for number, row in enumerate(text.split("\n"), 1):
        inside = fences.inside
        fences.feed(row, number)
        if not inside and row.startswith(_EVENT):
            if head is not None:
                events.append(_event(head, body))
            head, body = _head(row.rstrip("\r"), number, damage), []
        elif head is not None:
            body.append(row)
        elif row.strip() and not damage:
            damage.append((number, "there is text before the first event"))
    if head is not None:
        events.append(_event(head, body))
    if fences.inside:
        damage.append((fences.opened_at, "a code block is never closed"))
    return Thread(tuple(events), tuple(damage), fences.opened_at if fences.inside else None)


class Fences:
    """Whether a line stands in a fenced code block (CommonMark 4.5)."""

    def __init__(self) -> None:
        self._mark = ""
        self.opened_at = 0
        """The line of the block's fence."""

    @property
    def inside(self) -> bool:
        """Return whether the next line stands in a code block."""
        return bool(self._mark)

    @property
    def mark(self) -> str:
        """Return the fence that would close the block."""
        return self._mark

    def feed(self, row: str, number: int) -> None:
        """Take the next line."""
        found = _OPEN_FENCE.fullmatch(row.rstrip("\r"))
        if found is None:
            return
        mark, info = found["mark"], found["info"]
        if not self._mark:
            if mark[0] == "~" or "`" not in info:
                self._mark, self.opened_at = mark, number
        elif mark[0] == self._mark[0] and len(mark) >= len(self._mark) and not info.strip():
            self._mark = ""


def _head(row: str, number: int, damage: list[tuple[int, str]]) -> tuple[str, dict[str, str], int]:
    found = _HEAD.fullmatch(row)
    if found is None:
        damage.append((number, "an event's comment cannot be read"))
        return "unknown", {}, number
    attributes: dict[str, str] = {}
    at, rest = 0, found["rest"]
    while at < len(rest):
        one = _ATTRIBUTE.match(rest, at)
        if one is None:
            damage.append((number, "an event's attributes cannot be read to the end"))
            break
        name, value = one["name"], one["value"]
        if name in attributes:
            damage.append((number, f"an event has two values of {name}"))
        else:
            attributes[name] = _unquoted(value)
        at = one.end()
    return found["kind"], attributes, number


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _event(head: tuple[str, dict[str, str], int], body: list[str]) -> ThreadEvent:
    kind, attributes, line = head
    text = "\n".join(row.rstrip("\r") for row in body).strip("\n")
    if text == "---" or text.endswith("\n---"):
        text = text[:-3].rstrip("\n")
    return ThreadEvent(kind, attributes, line, text)


def written(kind: str, attributes: Iterable[tuple[str, str]], title: str, text: str) -> str:
    """Return one event as it is added to a thread, from its comment to its `---`.

    Lines of `text` that would begin an event are escaped, and a code block that it leaves open is
    closed, so that what is added can neither forge nor swallow an event. Raises TicketError
    (`ticket.value`) for an attribute that is not one line, `ticket.too_large` for too much text.
    """
    if len(text.encode("utf-8", "replace")) > LIMITS.ticket_event_bytes:
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

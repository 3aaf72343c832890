"""The head of an item.md: YAML between two `---` lines, read strictly and edited line by line.

Every scalar is text (PyYAML's BaseLoader). Anchors, aliases, tags and keys that stand twice are
refused. An edit replaces the lines of the keys that change; everything else stays byte-identical.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from yoi.errors import TicketError
from yoi.limits import LIMITS

Value = str | list[str] | None
_FENCE = "---"
_END = re.compile(rb"\n---\r*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The parsed head. `body_line` is the line, from 1, at which the item's text begins."""

    values: Mapping[str, Value]
    """Each key's text, list of texts, or None for `null`; nested values as their YAML text."""
    lines: Mapping[str, tuple[int, int]]
    """The lines of each key: the first, and the one behind the last, from 1."""
    end: int
    """The line of the closing fence."""
    body: str


def parse_front_matter(text: str) -> FrontMatter:
    """Return the head and body of `text`.

    Raises TicketError (`ticket.front_matter`) with `fields["line"]`.
    """
    rows = text.splitlines(keepends=True)
    # Some editors begin each file with a byte order mark.
    if not rows or rows[0].rstrip("\r\n").removeprefix("\ufeff") != _FENCE:
        raise _damage(1, f"item.md does not begin with {_FENCE}")
    end = next((n for n, row in enumerate(rows[1:], 2) if row.rstrip("\r\n") == _FENCE), None)
    if end is None:
        raise _damage(1, f"the front matter has no closing {_FENCE}")
    head = "".join(rows[1 : end - 1])
    if len(head.encode("utf-8", "replace")) > LIMITS.ticket_front_matter_bytes:
        raise _damage(1, f"the front matter is over {LIMITS.ticket_front_matter_bytes} bytes")
    values, lines = _read(head)
    return FrontMatter(values, lines, end, "".join(rows[end:]))


def parse_head(start: bytes) -> Mapping[str, Value]:
    """Return the head's values from the first bytes of an item.md, which hold all of the head.

    What follows the head is not looked at. Raises TicketError as `parse_front_matter`.
    """
    end = _END.search(start)
    try:
        text = start[: end.end() if end else None].decode("utf-8")
    except UnicodeDecodeError:
        raise _damage(1, "the front matter is not UTF-8 text") from None
    return parse_front_matter(text).values


def _read(head: str) -> tuple[dict[str, Value], dict[str, tuple[int, int]]]:
    events = iter(_events(head))
    values: dict[str, Value] = {}
    lines: dict[str, tuple[int, int]] = {}
    document = next(
        (
            one
            for one in events
            if not isinstance(one, (yaml.StreamStartEvent, yaml.DocumentStartEvent))
        ),
        None,
    )
    if document is None or isinstance(document, yaml.StreamEndEvent):
        return values, lines
    if not isinstance(document, yaml.MappingStartEvent):
        raise _damage(2, "the front matter is not a table of keys")
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            break
        line = key.start_mark.line + 2
        if not isinstance(key, yaml.ScalarEvent):
            raise _damage(line, "a key is not a word")
        if key.value in values:
            raise _damage(line, f"the key {key.value} stands twice")
        values[key.value], last = _value(events, head)
        behind = last.line + 2 + (1 if last.column else 0)
        lines[key.value] = (line, max(behind, line + 1))
    return values, lines


def _events(head: str) -> list[Any]:
    """Return the events of the YAML in `head`; refuse what makes it more than a tree of texts."""
    found: list[Any] = []
    depth = documents = 0
    try:
        for event in yaml.parse(head, Loader=yaml.BaseLoader):
            line = event.start_mark.line + 2 if event.start_mark else 2
            if len(found) > LIMITS.ticket_front_matter_nodes:
                raise _damage(line, "the front matter has too many values")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise _damage(line, "anchors and aliases are refused")
            if getattr(event, "tag", None) is not None:
                raise _damage(line, "tags are refused")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    raise _damage(line, "the front matter is nested too deeply")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _damage(line, "the front matter is more than one document")
            found.append(event)
    except yaml.YAMLError as exc:
        raise _malformed(exc, head) from None
    except (RecursionError, ValueError) as exc:
        raise _damage(2, f"the front matter cannot be read: {exc}") from None
    return found


_MAX_DEPTH = 8


def _value(events: Iterator[Any], head: str) -> tuple[Value, Any]:
    """Return the value that `events` begins with, and its end mark; nested ones as their text."""
    first = next(events)
    if isinstance(first, yaml.ScalarEvent):
        plain = first.style is None
        value = None if plain and first.value in ("", "null", "~") else str(first.value)
        return value, first.end_mark
    texts: list[str] | None = [] if isinstance(first, yaml.SequenceStartEvent) else None
    depth = 1
    while depth:
        last = next(events)
        if isinstance(last, yaml.CollectionStartEvent):
            depth, texts = depth + 1, None
        elif isinstance(last, yaml.CollectionEndEvent):
            depth -= 1
        elif texts is not None:
            texts.append(str(last.value))
    if texts is not None:
        return texts, last.end_mark
    return head[first.start_mark.index : last.end_mark.index].rstrip(), last.end_mark


def edited(text: str, changes: Mapping[str, Value]) -> str:
    """Return `text` with these keys set; lines of other keys and the body stay as they are.

    A new key is written before the closing fence. Raises TicketError as `parse_front_matter`, and
    `ticket.value` for a value that holds a line break or another control character.
    """
    found = parse_front_matter(text)
    rows = text.splitlines(keepends=True)
    ending = "\r\n" if rows[0].endswith("\r\n") else "\n"
    changed = {key: value for key, value in changes.items() if _differs(found, key, value)}
    new: list[str] = []
    for key in sorted(changed, key=lambda key: -found.lines.get(key, (0, 0))[0]):
        if key in found.lines:
            first, behind = found.lines[key]
            quote = _quote(rows[first - 1])
            rows[first - 1 : behind - 1] = [f"{key}: {_written(changed[key], quote)}{ending}"]
    for key, value in changed.items():
        if key not in found.lines:
            new.append(f"{key}: {_written(value, chr(39))}{ending}")
    if new:
        end = next(n for n, row in enumerate(rows[1:], 1) if row.rstrip("\r\n") == _FENCE)
        rows[end:end] = new
    made = "".join(rows)
    again = parse_front_matter(made)
    if again.body != found.body or any(
        again.values.get(key) != value for key, value in changes.items()
    ):
        raise _damage(1, "the front matter cannot be edited without changing something else")
    return made


def _differs(found: FrontMatter, key: str, value: Value) -> bool:
    return key not in found.values or found.values[key] != value


def _quote(row: str) -> str:
    """Return the quote that the line of a key uses, `'` where it uses none."""
    _, _, rest = row.partition(":")
    return '"' if rest.strip().startswith('"') else "'"


def _written(value: Value, quote: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(_quoted(one, quote) for one in value) + "]"
    return _quoted(value, quote)


def _quoted(text: str, quote: str) -> str:
    if not text.isprintable():
        raise TicketError("ticket.value", "a value of the front matter is one line of text")
    if quote == '"':
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "'" + text.replace("'", "''") + "'"


def _malformed(exc: yaml.YAMLError, head: str) -> TicketError:
    mark = getattr(exc, "problem_mark", None)
    problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
    above = mark.line if mark else head.count("\n", 0, getattr(exc, "position", 0))
    return _damage(above + 2, f"the front matter is not YAML: {problem}")


def _damage(line: int, message: str) -> TicketError:
    return TicketError("ticket.front_matter", f"item.md, line {line}: {message}", line=line)

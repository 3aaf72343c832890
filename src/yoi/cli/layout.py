"""Tables and rows in one look: no borders to copy by accident, nothing cut off."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_FOLDED = 14
"""Columns that a cell of text keeps at least; a table that needs more room is stacked."""


class Rows:
    """A table where it fits the screen, else each row as `name  value` lines below each other.

    A header that begins with `>` is a right-aligned number, which is never folded.
    """

    def __init__(self, headers: Sequence[str]) -> None:
        self._headers = headers
        self._rows: list[tuple[Text, ...]] = []

    def add_row(self, *cells: Text | str) -> None:
        """Add a row of one cell for each header."""
        self._rows.append(tuple(Text(one) if isinstance(one, str) else one for one in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table() if self._least_width() <= options.max_width else self._stacked()

    def _least_width(self) -> int:
        """Return how wide the table is when every cell that may be folded is."""
        width = 0
        for at, header in enumerate(self._headers):
            cells = max((row[at].cell_len for row in self._rows), default=0)
            least = cells if header.startswith(">") else min(cells, _FOLDED)
            width += max(least, len(header.removeprefix(">"))) + 3
        return width - 3

    def _table(self) -> Table:
        grid = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
        for at, header in enumerate(self._headers):
            number = header.startswith(">")
            cells = max((row[at].cell_len for row in self._rows), default=0)
            grid.add_column(
                header.removeprefix(">"),
                justify="right" if number else "left",
                no_wrap=number,
                overflow="fold",
                min_width=None if number else max(min(cells, _FOLDED), len(header)),
            )
        for row in self._rows:
            grid.add_row(*row)
        return grid

    def _stacked(self) -> Group:
        names = [header.removeprefix(">") for header in self._headers]
        parts: list[RenderableType] = []
        for row in self._rows:
            if parts:
                parts.append("")
            parts.append(whole(Text.assemble((f"{names[0]} ", "dim"), row[0])))
            rest = zip(names[1:], row[1:], strict=True)
            parts.append(pairs([(name, cell) for name, cell in rest if cell.plain]))
        return Group(*parts)


def table(*headers: str) -> Rows:
    """Return an empty table; a header that begins with `>` is a right-aligned number."""
    return Rows(headers)


def pairs(rows: Sequence[tuple[str, Text]]) -> Group:
    """Return `name  value` lines, indented and aligned."""
    width = max((len(name) for name, _ in rows), default=0)
    return Group(
        *(whole(Text.assemble((f"  {name:<{width}}  ", "dim"), value)) for name, value in rows)
    )


def whole(text: Text) -> Text:
    """Return `text` as one line whatever the width: a command or path must survive copying."""
    text.no_wrap = True
    text.overflow = "ignore"
    return text


class Indented:
    """A text whose every line keeps `indent`; those that the width breaks off, `hang` more."""

    def __init__(self, text: Text, indent: int, hang: int = 0) -> None:
        self._text = text
        self._indent = indent
        self._hang = hang

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(options.max_width - self._indent - self._hang, _FOLDED)
        indent = self._indent
        for row in self._text.wrap(console, room):
            row.rstrip()
            yield whole(Text.assemble(" " * indent, row))
            indent = self._indent + self._hang


def lines(parts: Iterable[RenderableType]) -> Group:
    """Return the parts below each other."""
    return Group(*parts)


def size(count: int) -> str:
    """Return a byte count in the largest unit that keeps it short."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} B"


def many(count: int, one: str, more: str = "") -> str:
    """Return `1 event` or `2 events`; `more` is the plural where it is not `one` with an s."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def moment(rfc3339: str | None) -> str:
    """Return `2026-01-31 12:00:00` (UTC) for an RFC 3339 time, or what it is if it is not one."""
    if rfc3339 is None:
        return ""
    plain = rfc3339.split(".")[0].removesuffix("Z")
    return plain.replace("T", " ", 1)


def now() -> datetime:
    """Return the time that ages on the screen are counted from."""
    return datetime.now(UTC)


def age(rfc3339: str | None) -> str:
    """Return `12 s ago`, `in 5 min`, or the time itself where it is days away or not a time."""
    if rfc3339 is None:
        return ""
    try:
        seconds = (now() - datetime.fromisoformat(rfc3339)).total_seconds()
    except (ValueError, TypeError):
        return moment(rfc3339)
    words = duration(abs(seconds))
    if not words:
        return moment(rfc3339)
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def duration(seconds: float) -> str:
    """Return `12 s`, `5 min` or `3 h`; nothing where it is two days or more."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else ""

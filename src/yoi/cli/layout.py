"""Tables and rows in one look: no borders to copy by accident, nothing cut off."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def table(*headers: str) -> Table:
    """Return an empty table; a header that begins with `>` is a right-aligned number."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for header in headers:
        number = header.startswith(">")
        grid.add_column(
            header.removeprefix(">"),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    return grid


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


def lines(parts: Iterable[RenderableType]) -> Group:
    """Return the parts below each other."""
    return Group(*parts)


def size(count: int) -> str:
    """Return a byte count in the largest unit that keeps it short."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} B"


def moment(rfc3339: str | None) -> str:
    """Return `2026-01-31 12:00:00` (UTC) for an RFC 3339 time, or what it is if it is not one."""
    if rfc3339 is None:
        return ""
    plain = rfc3339.split(".")[0].removesuffix("Z")
    return plain.replace("T", " ", 1)

"""Finds the line of a key by its dotted path, such as `workers[1].tools[0].plugin`."""

import re

_STEP = re.compile(r"([^.\[\]]+)(?:\[(\d+)\])?")
_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")


def line_of(text: str, at: str) -> int | None:
    """Return the 1-based line of the key at `at`, else of the innermost table around it.

    For documents with `[[tables]]` and `[tables]` as people write them; None where nothing fits.
    """
    rows = text.splitlines()
    first, last, found = 0, len(rows), None
    path: list[str] = []
    for name, index in _STEP.findall(at):
        path.append(name)
        header = _header(rows, first, last, ".".join(path), int(index or 0))
        if header is not None:
            first, found = header + 1, header
            last = _end(rows, first, last, ".".join(path))
            continue
        if _implied(rows, first, last, ".".join(path)):
            continue
        key = _key(rows, first, last, name)
        return (key if key is not None else found if found is not None else -1) + 1 or None
    return None if found is None else found + 1


def _header(rows: list[str], first: int, last: int, path: str, index: int) -> int | None:
    seen = 0
    for at in range(first, last):
        match = _HEADER.match(rows[at])
        if match and _name(match) == path:
            if seen == index:
                return at
            seen += 1
    return None


def _implied(rows: list[str], first: int, last: int, path: str) -> bool:
    """Return whether a header begins a table inside of `path`, which then needs none itself."""
    headers = (_HEADER.match(rows[at]) for at in range(first, last))
    return any(match and _name(match).startswith(path + ".") for match in headers)


def _name(header: re.Match[str]) -> str:
    return header[1].replace('"', "").replace(" ", "")


def _end(rows: list[str], first: int, last: int, path: str) -> int:
    """Return up to where tables inside of the one before `first` may stand: its next sibling."""
    # Not up to the next other table: `[a.b]` may stand anywhere behind `[a]`.
    sibling = _header(rows, first, last, path, 0)
    return last if sibling is None else sibling


def _key(rows: list[str], first: int, last: int, name: str) -> int | None:
    pattern = re.compile(rf"\s*\"?{re.escape(name)}\"?\s*[=.]")
    for at in range(first, last):
        if _HEADER.match(rows[at]):
            return None
        if pattern.match(rows[at]):
            return at
    return None

"""A yoi.toml as entries: one for each plugin, worker, upstream and table; and back again."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from yoi.core.withdrawal import Entry, RowKey
from yoi.decisions.keys import GRANT_LISTS, OTHER, SECTIONS, Kind, Section, section_of

Content = dict[str, Any]
"""One entry as its table in the file says it, as JSON values."""
Entries = dict[str, Content]

_OWN_TABLES = frozenset(section.path[0] for section in SECTIONS.values())
_INNER = {
    name: {
        other.path[-1]
        for other in SECTIONS.values()
        if other.path != section.path and other.path[:-1] == section.path
    }
    for name, section in SECTIONS.items()
}
"""By section, the keys of its table that are sections of their own."""


def entries_of(document: Mapping[str, Any]) -> Entries:
    """Return the entries of a decoded yoi.toml.

    Rows without a usable name, and rows of one name, are left out: they are never in force, and the
    file's own parser says why.
    """
    found: Entries = {}
    for section in SECTIONS.values():
        value = _at(document, section.path)
        if not section.many:
            if isinstance(value, dict):
                own = {k: one for k, one in value.items() if k not in _INNER[section.name]}
                if own or not value:
                    found[section.name] = own
            continue
        twice: set[str] = set()
        for row in value if isinstance(value, list) else ():
            name = row_name(section, row)
            if name is None:
                continue
            key = f"{section.name}:{name}"
            if key in found:
                twice.add(key)
            found[key] = row
        for key in twice:
            del found[key]
    for table, value in document.items():
        if table not in _OWN_TABLES:
            found[f"{OTHER}:{table}"] = {"value": value}
    return {key: plain(value) for key, value in found.items()}


def document_of(entries: Mapping[str, Content]) -> dict[str, Any]:
    """Return the decoded yoi.toml that holds `entries`."""
    document: dict[str, Any] = {}
    for key, content in entries.items():
        section = section_of(key)
        folder = document
        for step in section.path[:-1]:
            folder = folder.setdefault(step, {})
        last = section.path[-1]
        if section.many:
            folder.setdefault(last, []).append(content)
        else:
            own = content["value"] if section.name == OTHER else content
            # Sections inside of this one may stand there already.
            folder[last] = {**folder[last], **own} if last in folder else own
    return document


def row_name(section: Section, row: Any) -> str | None:
    """Return the name of one row of a section with many, None where it has none."""
    if not isinstance(row, dict):
        return None
    key = next(key for key, rule in section.keys.items() if rule.kind is Kind.NAME)
    name = row.get(key)
    if name is None and section.name == "plugin" and isinstance(row.get("id"), str):
        name = row["id"].partition(":")[2]
    return name if isinstance(name, str) and name else None


def digest(entries: Mapping[str, Content]) -> str:
    """Return `sha256:` and hex over all entries; their order does not change it."""
    return "sha256:" + hashlib.sha256(b"yoi-workspace-v1\0" + text(entries).encode()).hexdigest()


def text(value: Any) -> str:
    """Return `value` as canonical JSON: equal texts mean equal values, and True is not 1."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def split(entry: str, content: Content) -> Entry:
    """Return `content` as settings and the rows that may come and go one by one."""
    rest = dict(content)
    rows: dict[RowKey, str] = {}
    for path, identity in _row_lists(section_of(entry)):
        folder = rest
        for step in path[:-1]:
            inner = folder.get(step)
            folder[step] = folder = dict(inner) if isinstance(inner, dict) else {}
        listed = folder.get(path[-1])
        if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
            continue
        del folder[path[-1]]
        grouped: dict[RowKey, list[Any]] = {}
        for row in listed:
            grouped.setdefault((".".join(path), _identity(row, identity)), []).append(row)
        rows |= {key: text(group) for key, group in grouped.items()}
    return Entry(text(rest), rows)


def join(entry: Entry) -> Content:
    """Return the content that `split` took apart."""
    content: Content = json.loads(entry.settings)
    for (where, _), group in entry.rows.items():
        *folders, last = where.split(".")
        folder = content
        for step in folders:
            folder = folder.setdefault(step, {})
        folder.setdefault(last, []).extend(json.loads(group))
    return content


def _row_lists(section: Section) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    for key, rule in section.keys.items():
        if rule.kind is Kind.ROWS:
            yield (key,), rule.identity
        elif rule.kind is Kind.GRANTS:
            for name in GRANT_LISTS:
                # Request targets and secrets of one name must not be there twice.
                yield (key, name), ("name",) if name in ("request", "secrets") else ()


def _identity(row: Content, keys: tuple[str, ...]) -> str:
    return next((text(row[key]) for key in keys if key in row), text(row))


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = document
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def plain(value: Any) -> Any:
    """Return `value` as JSON values; a date, for which JSON has no form, as its text."""
    return json.loads(json.dumps(value, default=str))

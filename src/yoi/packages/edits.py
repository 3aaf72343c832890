"""Edit `.yoi/yoi.toml` for the operator: comments stay, and the file is replaced in one step.

Every edit is read back before it is written: if the result does not say exactly what was meant, or
says anything else differently than before, nothing is written.
"""

import contextlib
import errno
import fcntl
import os
import tomllib
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Comment, Item, Table, Whitespace

from yoi.durable import replace_file
from yoi.errors import EnablementError, PackageError
from yoi.folders import held, make_folder, mode_of, open_file
from yoi.limits import LIMITS
from yoi.packages.enablement import EnabledEntry, Enablement
from yoi.packages.folder import io_error, read_open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NEW_MODE = 0o644
_TABLES = ("websocket", "request", "secrets")
_MARK = "yoi-entry-removed-here"


def write_enablement(path: "Path", entry: EnabledEntry) -> None:
    """Add `entry` to the yoi.toml at `path`, or update the one with its instance name.

    The file and its folder are made where they are missing; the mode of an existing file is kept.
    Raises EnablementError when the file is not valid, is a link, is being edited by another
    command, or cannot be edited without changing something else; then it is as it was.
    """
    with _locked(path):
        before = _read(path)
        document = _parse(before, path)
        rows = _rows(document)
        try:
            added = _put(rows, entry)
            after = tomlkit.dumps(document)
            if added:
                after = _set_apart(after)
        except TOMLKitError as exc:
            raise EnablementError(
                "enablement.malformed", f"the entry cannot be written as TOML: {exc}"
            ) from None
        _check(before, after, path, entry.name, lambda found: found == entry)
        _replace(path, after)


def edit_document(
    path: "Path",
    change: "Callable[[tomlkit.TOMLDocument], object]",
    meant: "Callable[[dict[str, Any]], dict[str, Any]]",
) -> None:
    """Let `change` edit the yoi.toml at `path`; it must then say what `meant` makes of it.

    Raises EnablementError as `write_enablement`, and what `change` raises; then it is as it was.
    """
    with _locked(path):
        before = _read(path)
        document = _parse(before, path)
        try:
            change(document)
            after = tomlkit.dumps(document)
            said = tomllib.loads(after)
        except (TOMLKitError, tomllib.TOMLDecodeError) as exc:
            raise _by_hand(path, str(exc)) from None
        if said != meant(tomllib.loads(before)):
            raise _by_hand(path, "the result would not say what was meant")
        _replace(path, after)


def remove_enablement(path: "Path", name: str) -> None:
    """Remove the entry whose instance name is `name` from the yoi.toml at `path`.

    Raises EnablementError (`enablement.missing`) when there is none, and as `write_enablement`.
    """
    with _locked(path):
        before = _read(path)
        document = _parse(before, path)
        rows = _rows(document)
        index = next((index for index, row in enumerate(rows) if _name(row) == name), None)
        if index is None:
            raise EnablementError(
                "enablement.missing",
                f'{path.name} enables nothing under the name "{name}"',
                hint="see what is enabled with: yoi plugin list",
            )
        ending = "".join(item.as_string() for item in _detach_ending(rows[index]))
        mark = tomlkit.table()
        mark[_MARK] = True
        rows.insert(index, mark)
        del rows[index + 1]
        after = _cut_mark(tomlkit.dumps(document), ending)
        _check(before, after, path, name, lambda found: found is None)
        _replace(path, after)


def _put(rows: AoT, entry: EnabledEntry) -> bool:
    """Write `entry` into `rows`; return whether it was added as the last of them."""
    row = next((row for row in rows if _name(row) == entry.name), None)
    if row is None:
        row = tomlkit.table()
        _fill(row, entry)
        rows.append(row)
        return True
    # Comments at the end of an entry are mostly about the next one: they stay last.
    ending = _detach_ending(row)
    _fill(row, entry)
    _attach_ending(row, ending)
    return False


def _set_apart(text: str) -> str:
    """Return `text` with an empty line before its last entry."""
    before, header, entry = text.rpartition("\n[[plugins.enabled]]\n")
    apart = before and not before.endswith("\n")
    return f"{before}\n{header}{entry}" if apart else text


@contextlib.contextmanager
def _locked(path: "Path") -> "Iterator[None]":
    """Hold the folder of `path` against other edits; the lock leaves no file behind."""
    with contextlib.ExitStack() as opened:
        try:
            make_folder(path.parent)
            folder = opened.enter_context(held(path.parent))
        except OSError as exc:
            raise io_error(exc, str(path.parent)) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EnablementError(
                "enablement.malformed",
                f"another command is editing {path.name}",
                hint="try again when it is done",
            ) from None
        yield


def _read(path: "Path") -> str:
    try:
        opened = open_file(path, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        if exc.errno != errno.ELOOP:
            raise io_error(exc, str(path)) from None
        raise EnablementError(
            "enablement.malformed",
            f"{path} is a symbolic link and is not written through",
            hint="edit the file it points to, or replace the link by the file itself",
        ) from None
    try:
        data = read_open_file(opened, LIMITS.operator_config_bytes, str(path))
    except PackageError as exc:
        raise EnablementError("enablement.malformed", exc.message) from None
    # Refuses what is not TOML, with its line.
    Enablement.parse(data, path)
    return data.decode()


def _parse(text: str, path: "Path") -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as exc:
        raise _by_hand(path, str(exc)) from None


def _rows(document: tomlkit.TOMLDocument) -> AoT:
    """Return the `[[plugins.enabled]]` tables, made where they are missing."""
    plugins: Any = document.get("plugins")
    if plugins is None:
        plugins = tomlkit.table(is_super_table=True)
        document["plugins"] = plugins
        plugins = document["plugins"]
    if "enabled" not in plugins:
        plugins["enabled"] = tomlkit.aot()
    rows = plugins["enabled"]
    if isinstance(rows, Array) and not rows:
        plugins.remove("enabled")
        plugins["enabled"] = tomlkit.aot()
        rows = plugins["enabled"]
    if not isinstance(rows, AoT):
        raise EnablementError(
            "enablement.malformed",
            "plugins.enabled is written as one inline list, which cannot be edited for you",
            hint="write each entry as its own [[plugins.enabled]] table",
        )
    return rows


def _name(row: Table) -> str:
    """Return the instance name of an entry, whatever else is wrong with it."""
    value = row.get("name", row.get("id", "").partition(":")[2] if _has_id(row) else "")
    return str(value)


def _has_id(row: Table) -> bool:
    return isinstance(row.get("id"), str)


def _fill(row: Table, entry: EnabledEntry) -> None:
    table = entry.to_table()
    granted = table.pop("grants")
    for key in ("surfaces", "config"):
        if key not in table:
            row.pop(key, None)
    for key, value in table.items():
        _set(row, key, value)
    if not isinstance(row.get("grants"), Table):
        row.pop("grants", None)
        row["grants"] = tomlkit.table()
    grants: Any = row["grants"]
    for key in (*_TABLES, "memory_bytes"):
        if key not in granted:
            grants.pop(key, None)
    for key, value in granted.items():
        _set(grants, key, value)


def _set(table: Any, key: str, value: Any) -> None:
    """Set `key`, leaving it untouched (comments and all) where it says the same already."""
    current = table.get(key)
    if isinstance(current, Item) and current.unwrap() == value:
        return
    table[key] = _item(key, value)


def _item(key: str, value: Any) -> Any:
    if key in _TABLES:
        rows = tomlkit.aot()
        for one in value:
            row = tomlkit.table()
            for name, inner in one.items():
                row[name] = _inline_list(inner) if name == "captures" else inner
            rows.append(row)
        return rows
    return _inline_list(value) if key == "permissions" else value


def _inline_list(tables: list[dict[str, Any]]) -> Array:
    """Return tables as a list of inline tables, one on a line."""
    array = tomlkit.array()
    for one in tables:
        inline = tomlkit.inline_table()
        inline.update(one)
        array.append(inline)
    return array.multiline(bool(tables))


def _last_table(table: Table) -> Table:
    """Return the table in which the text of `table` ends: itself or its last sub-table."""
    for _, item in reversed(table.value.body):
        if isinstance(item, AoT) and len(item):
            return _last_table(item[len(item) - 1])
        if isinstance(item, Table):
            return _last_table(item)
        if not isinstance(item, (Comment, Whitespace)):
            return table
    return table


def _detach_ending(table: Table) -> list[Item]:
    """Take the comments and blank lines at the end of `table` out of it and return them."""
    body = _last_table(table).value.body
    ending: list[Item] = []
    while body and isinstance(body[-1][1], (Comment, Whitespace)):
        ending.insert(0, body.pop()[1])
    return ending


def _attach_ending(table: Table, ending: list[Item]) -> None:
    last = _last_table(table)
    for item in ending:
        last.value.append(None, item)


def _cut_mark(text: str, ending: str) -> str:
    """Return `text` with the marked entry (its header and the mark) replaced by `ending`."""
    at = text.index(_MARK)
    start = text.rindex("[[", 0, at)
    start = text.rfind("\n", 0, start) + 1
    end = text.find("\n", at)
    return text[:start] + ending + (text[end + 1 :] if end != -1 else "")


def _check(
    before: str,
    after: str,
    path: "Path",
    name: str,
    meant: "Callable[[EnabledEntry | None], bool]",
) -> None:
    """Refuse an edit that does not say what was meant, or that touches anything else."""
    data = after.encode()
    if len(data) > LIMITS.operator_config_bytes:
        raise EnablementError(
            "enablement.malformed",
            f"{path.name} would be over {LIMITS.operator_config_bytes} bytes",
        )
    try:
        found = Enablement.parse(data, path).find(name)
    except EnablementError as exc:
        raise _by_hand(path, exc.message) from None
    if not meant(found) or _others(before, name) != _others(after, name):
        raise _by_hand(path, "the result would not say what was meant")


def _others(text: str, name: str) -> Any:
    document = tomllib.loads(text)
    plugins = document.pop("plugins", {})
    rows = [row for row in plugins.pop("enabled", []) if _plain_name(row) != name]
    return document, plugins, rows


def _plain_name(row: Any) -> Any:
    return row.get("name", str(row.get("id", "")).partition(":")[2])


def _by_hand(path: "Path", why: str) -> EnablementError:
    return EnablementError(
        "enablement.malformed",
        f"{path.name} cannot be edited for you: {why}",
        hint="keep its [[plugins.enabled]] entries next to each other, or edit them by hand",
    )


def _replace(path: "Path", text: str) -> None:
    try:
        replace_file(path, text.encode(), mode_of(path, _NEW_MODE))
    except OSError as exc:
        raise io_error(exc, str(path)) from None

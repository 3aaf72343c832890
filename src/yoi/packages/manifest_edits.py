"""Edit a plugin.toml for its author: tools as the source marks them; comments stay."""

from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from yoi.durable import replace_file
from yoi.errors import ManifestError
from yoi.packages.manifest import MANIFEST_NAME, Manifest
from yoi.packages.tool_source import ToolSource, form, merged

if TYPE_CHECKING:
    from pathlib import Path


def write_tools(folder: "Path", tools: list[ToolSource]) -> list[str]:
    """Declare `tools` in `folder`/plugin.toml; return the names that were written or changed.

    What an author added to a schema (descriptions, bounds) stays; tools that the source does not
    mark are left alone. The result is read back before it is written: ManifestError when it would
    not be valid, and then the file is as it was.
    """
    path = folder / MANIFEST_NAME
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    rows = document.get("tools")
    if rows is None:
        document.add(tomlkit.nl())
        rows = document["tools"] = tomlkit.aot()
    if not isinstance(rows, AoT):
        raise ManifestError(
            "manifest.type",
            f"{MANIFEST_NAME}: tools is not written as [[tools]] and is not edited",
            at="tools",
            hint="write each tool as a [[tools]] table",
        )
    changed = [one.declaration.name for one in tools if _put(rows, one)]
    if not changed:
        return []
    try:
        text = tomlkit.dumps(document)
    except TOMLKitError as exc:
        raise ManifestError(
            "manifest.value", f"{MANIFEST_NAME}: the tools cannot be written: {exc}", at="tools"
        ) from None
    Manifest.parse(text.encode())
    replace_file(path, text.encode(), mode=path.stat().st_mode & 0o777)
    return changed


def _put(rows: AoT, tool: ToolSource) -> bool:
    """Write one tool into `rows`; return whether anything changed."""
    wanted = tool.declaration
    row = next((one for one in rows if one.get("name") == wanted.name), None)
    if row is None:
        row = tomlkit.table()
        row["name"] = wanted.name
        row["description"] = wanted.description
        if wanted.external_write:
            row["external_write"] = True
        row["input_schema"] = _nested(wanted.input_schema)
        if rows:
            row.trivia.indent = "\n"
        rows.append(row)
        return True
    known = row.unwrap()
    changed = False
    if bool(known.get("external_write", False)) != wanted.external_write:
        row["external_write"] = wanted.external_write
        changed = True
    schema = known.get("input_schema")
    if form(schema) != form(wanted.input_schema):
        both = schema if isinstance(schema, dict) else {}
        row["input_schema"] = _nested(merged(both, wanted.input_schema))
        changed = True
    return changed


def _nested(value: dict[str, Any]) -> Table:
    """Return `value` as a table whose inner tables have headers of their own."""
    table = tomlkit.table()
    for key, one in value.items():
        if not isinstance(one, dict):
            table[key] = one
    for key, one in value.items():
        if isinstance(one, dict):
            table[key] = _nested(one)
    return table

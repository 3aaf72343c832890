"""Approving tools of a server: as they were shown, in yoi.toml and in what was decided."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from yoi.decisions.file import operator_file
from yoi.decisions.port import AccountDecisions
from yoi.decisions.store import DecisionStore
from yoi.errors import McpError
from yoi.mcp.settings import TABLE
from yoi.packages.edits import edit_document


def approve(
    workspace: Path, server: str, tools: Mapping[str, str], store: DecisionStore | None = None
) -> str:
    """Let exactly `tools` of `server` be approved, each with its digest; return the entry's name.

    Raises McpError where yoi.toml has no such server, EnablementError where it cannot be edited.
    """
    kept = store or AccountDecisions().store
    rows = [{"name": name, "digest": tools[name]} for name in sorted(tools)]
    decided = _with_tools({TABLE: kept.entries(workspace).get(TABLE, {})}, server, rows)

    def change(document: tomlkit.TOMLDocument) -> None:
        row = next((one for one in _servers(document) if one.get("name") == server), None)
        if row is None:
            raise McpError(
                "mcp.unknown",
                f"yoi.toml has no [[mcp.servers]] called {server!r}",
                hint="yoi mcp servers",
            )
        if "tools" in row:
            del row["tools"]
        if not rows:
            return
        listed = tomlkit.array()
        for one in rows:
            inline = tomlkit.inline_table()
            inline.update(one)
            listed.append(inline)
        row["tools"] = listed.multiline(True)

    changes: dict[str, dict[str, Any] | None] = {}
    if any(one.get("name") == server for one in _servers(decided)):
        # Where a host runs what the file says, nothing of it may be decided: the file is enough.
        changes[TABLE] = decided[TABLE]
    kept.record(
        workspace,
        changes,
        writing=lambda: edit_document(
            operator_file(workspace), change, lambda before: _with_tools(before, server, rows)
        ),
    )
    return TABLE


def _with_tools(
    document: Mapping[str, Any], server: str, rows: list[dict[str, str]]
) -> dict[str, Any]:
    """Return `document` with `rows` as the approved tools of `server`."""
    table = dict(document.get(TABLE, {}))
    servers = []
    for one in table.get("servers", ()):
        rest = {key: value for key, value in one.items() if key != "tools"}
        known = {"tools": rows} if rows else {}
        servers.append({**rest, **known} if one.get("name") == server else one)
    if servers:
        table["servers"] = servers
    return {**document, TABLE: table}


def _servers(document: Mapping[str, Any]) -> Any:
    table = document.get(TABLE, {})
    return table.get("servers", ()) if isinstance(table, Mapping) else ()

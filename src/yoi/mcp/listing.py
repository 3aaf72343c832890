"""What a server says that its tools are, and which of them are as they were approved."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from yoi.limits import LIMITS, Limits
from yoi.packages.foreign_schema import foreign_schema_problems


class Standing(StrEnum):
    """How a tool stands to what was approved."""

    APPROVED = "approved"
    CHANGED = "changed"
    """It says something else than what was approved: not offered."""
    NEW = "new"
    """Nobody approved it: not offered."""
    UNUSABLE = "unusable"
    """What it says is over a bound, or not usable: it cannot be approved."""
    GONE = "gone"
    """It was approved, and the server does not list it now."""


class ListedTool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as the server lists it; `problem` is why it cannot be used, or empty."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    digest: str
    problem: str = ""


class ToolStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as a status shows it."""

    name: str
    standing: Standing
    problem: str = ""


def listed_tools(
    said: Iterable[Mapping[str, Any]], limits: Limits = LIMITS
) -> dict[str, ListedTool]:
    """Return the tools in the `tools` of a listing, by name; of two of one name, neither."""
    found: dict[str, ListedTool] = {}
    for one in said:
        tool = _listed(one, limits)
        if tool.name in found:
            problem = "the server lists two tools of this name"
            tool = msgspec.structs.replace(tool, problem=problem)
        found[tool.name] = tool
    return found


def _listed(said: Mapping[str, Any], limits: Limits) -> ListedTool:
    name, schema = str(said.get("name", "")), said.get("inputSchema")
    title, description = str(said.get("title") or ""), str(said.get("description") or "")
    schema = schema if isinstance(schema, dict) else {}
    problem = _problem(name, title + description, schema, limits)
    return ListedTool(
        name=name[: limits.name_bytes],
        title=title[: limits.name_bytes],
        description=description[: limits.mcp_description_chars],
        input_schema=schema if not problem else {"type": "object"},
        digest=_digest(name, title, description, schema),
        problem=problem,
    )


def _problem(name: str, words: str, schema: Mapping[str, Any], limits: Limits) -> str:
    if not name.strip() or len(name) > limits.name_bytes or not name.isprintable():
        return f"its name is not 1 to {limits.name_bytes} printable characters"
    if len(words) > limits.mcp_description_chars:
        return f"its description is over {limits.mcp_description_chars} characters"
    for fault in foreign_schema_problems(schema):
        return f"its schema: {fault.at} {fault.message}"
    if len(msgspec.json.encode(schema)) > limits.tool_schema_bytes:
        return f"its schema is over {limits.tool_schema_bytes} bytes"
    return ""


def _digest(name: str, title: str, description: str, schema: Mapping[str, Any]) -> str:
    """Return the digest of all that a model or a person reads of the tool."""
    said = json.dumps([name, title, description, schema], sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(b"yoi-mcp-tool-v1\0" + said.encode()).hexdigest()


def standings(
    listed: Mapping[str, ListedTool], approved: Mapping[str, str]
) -> dict[str, ToolStanding]:
    """Return how each tool stands that is listed or was approved, by name."""
    found = {name: _standing(tool, approved.get(name)) for name, tool in listed.items()}
    for name in approved:
        if name not in listed:
            found[name] = ToolStanding(name=name, standing=Standing.GONE)
    return {name: found[name] for name in sorted(found)}


def _standing(tool: ListedTool, approved: str | None) -> ToolStanding:
    if tool.problem:
        standing = Standing.UNUSABLE
    elif approved is None:
        standing = Standing.NEW
    else:
        standing = Standing.APPROVED if approved == tool.digest else Standing.CHANGED
    return ToolStanding(name=tool.name, standing=standing, problem=tool.problem)

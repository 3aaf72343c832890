"""The manifest lines that would allow what was denied."""

import json
from typing import TYPE_CHECKING, Any

from yoi.permissions.permission import Permission
from yoi.permissions.targets import TargetKind, UrlTarget
from yoi.permissions.url import DEFAULT_PORTS

if TYPE_CHECKING:
    from yoi.permissions.places import Position
    from yoi.permissions.url import Url

_PREFIX_CHARS = 200


def permission_lines(permission: Permission) -> str:
    """Return the item that the manifest's `permissions` list needs."""
    pairs = ", ".join(_pairs(permission.to_table()))
    return f"add to permissions in plugin.toml: {{ {pairs} }}"


def target_lines(target: UrlTarget) -> str:
    """Return the manifest's `[[websocket]]` or `[[request]]` block for `target`."""
    block = [f"[[{target.kind.value}]]", *_pairs(target.to_table())]
    return "\n".join(["add to plugin.toml:", *block])


def secret_lines(name: str, goal: "tuple[str | None, str | None]", at: "Position") -> str:
    """Return the manifest's `[[secrets]]` block for one position."""
    return "\n".join(
        ["add to plugin.toml:", "[[secrets]]", *_pairs({"name": name, **_goal(goal, at)})]
    )


def signature_lines(name: str, goal: "tuple[str | None, str | None]") -> str:
    """Return the head of the manifest's `[[secrets]]` block for a key that signs."""
    block = _pairs({"name": name, **_named(goal)})
    return "\n".join(
        ["add to plugin.toml, with its `at` and `[secrets.sign]`:", "[[secrets]]", *block]
    )


def capture_lines(
    target: str, name: str, goal: "tuple[str | None, str | None]", at: "Position"
) -> str:
    """Return the key that the manifest's capture needs for one position."""
    inner = ", ".join(_pairs(_goal(goal, at)))
    where = f"the capture {name!r} of the request {target!r} in plugin.toml"
    return f"add to {where}:\ninto = {{ {inner} }}"


def _goal(goal: "tuple[str | None, str | None]", at: "Position") -> dict[str, Any]:
    return {**_named(goal), "at": [_place(at)]}


def _named(goal: "tuple[str | None, str | None]") -> dict[str, Any]:
    named = zip(("connection", "request"), goal, strict=True)
    return {key: one for key, one in named if one is not None}


def target_for(
    url: "Url", kind: TargetKind, method: str = "", name: str | None = None
) -> UrlTarget:
    """Return the narrowest target that names `url`: its host, its port, its path."""
    table: dict[str, Any] = {} if name is None else {"name": name}
    table |= {"scheme": url.scheme, "host": url.bracketed_host}
    if url.port != DEFAULT_PORTS[url.scheme]:
        table["port"] = url.port
    if kind is TargetKind.REQUEST:
        table["methods"] = [method]
    table["path_prefixes"] = ["/" if url.shown_path is not None else _prefix(url.path)]
    return UrlTarget.parse(table, kind)


def _prefix(path: str) -> str:
    """Return `path`, or as many of its whole first segments as fit on a line."""
    prefix = path
    if len(path) > _PREFIX_CHARS:
        prefix = path[: path.rfind("/", 0, _PREFIX_CHARS)] or "/"
    first_empty = prefix.find("//")
    return prefix if first_empty < 0 else prefix[:first_empty] or "/"


def _pairs(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items()]


def _place(at: "Position") -> Any:
    where = str(at.pointer)
    return {"at": where, "after": at.before} if at.literal else where


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value))} }}"
    # Words and numbers; JSON's strings are TOML's basic strings.
    return json.dumps(value, ensure_ascii=False)

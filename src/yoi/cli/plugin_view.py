"""Packages and their reviews as words and tables for people."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from yoi.cli.layout import Indented, lines, pairs, size, table, whole
from yoi.cli.output import read_whole, shown
from yoi.cli.sources import as_path
from yoi.display import shell_word
from yoi.packages import Inspection, Package, Surface
from yoi.permissions import PermissionSet, Review, ReviewRow, ReviewState, review

if TYPE_CHECKING:
    from yoi.packages import Created, Difference, Finding, ManifestWarning, PackResult
    from yoi.packages.libraries import Library

_STATUS = {
    "active": "green",
    "partial": "yellow",
    "rejected": "bold red",
    "missing": "bold red",
    "disabled": "dim",
}
_MARK = {
    ReviewState.COVERED: ("+", "green"),
    ReviewState.PARTLY_COVERED: ("~", "yellow"),
    ReviewState.DENIED: ("-", "red"),
    ReviewState.GRANT_ONLY: ("?", "yellow"),
}
_LEGEND = (
    (ReviewState.COVERED, "granted"),
    (ReviewState.PARTLY_COVERED, "granted in part"),
    (ReviewState.DENIED, "not granted"),
    (ReviewState.GRANT_ONLY, "granted, never asked for"),
)
_LIST_CHARS = 1024
_LIBRARIES = 12


def identity(package: Package, runs_in: str) -> RenderableType:
    """Return what a package says it is, and what it really is (digest, files, runtime)."""
    manifest = package.manifest
    head = Text.assemble(
        shown(f"{package.reference} {manifest.version}", style="bold"), "  ", shown(manifest.name)
    )
    rows = [
        ("digest", shown(package.digest)),
        ("runs in", shown(runs_in)),
        ("from", shown(package.path, 1024)),
    ]
    brought = package.library_list
    if brought:
        # Not all in full: `yoi plugin libraries` and --json have every one.
        words = ", ".join(one.label for one in brought[:_LIBRARIES])
        more = len(brought) - _LIBRARIES
        rows.append(("libraries", shown(words + (f" and {more} more" if more > 0 else ""), 2048)))
    if manifest.description:
        rows.insert(0, ("it says", shown(manifest.description, _LIST_CHARS)))
    return Group(head, pairs(rows))


def review_block(found: Review, surfaces: Iterable[Surface]) -> RenderableType:
    """Return the review in plain words, one line for each thing, broad access apart and loud."""
    parts: list[RenderableType] = []
    ordinary = [row for row in found.rows if not row.broad]
    if not found.rows:
        parts.append(shown("It asks for nothing."))
    if ordinary:
        parts.append(shown("It asks for", style="bold"))
        parts.append(_rows(ordinary))
    connections = [surface for surface in surfaces if surface.kind == "connection"]
    if connections:
        parts.append(shown("It stays connected to", style="bold"))
        parts += [line for connection in connections for line in _connection(connection)]
    if found.broad:
        parts += ["", broad_block(found.broad)]
    return lines(parts)


def warning_lines(warnings: Iterable["ManifestWarning"]) -> list[RenderableType]:
    """Return what a manifest says that has no effect, or not the one it seems to have."""
    return [
        whole(shown(f"  warning: plugin.toml: {one.at} {one.message}", 1024, "yellow"))
        for one in warnings
    ]


def legend(found: Review) -> RenderableType:
    """Return what the marks in front of the rows mean, as far as they occur."""
    states = {row.state for row in found.rows}
    words = [f"{_MARK[state][0]} {text}" for state, text in _LEGEND if state in states]
    return shown("  " + "   ".join(words), style="dim")


def broad_block(rows: Sequence[ReviewRow]) -> RenderableType:
    """Return the rows that open more than a named place, loudly."""
    return Panel(
        _rows(rows),
        title=Text("BROAD ACCESS: read this twice"),
        title_align="left",
        border_style="bold red",
        box=box.DOUBLE,
    )


def difference_block(changed: "Difference") -> RenderableType:
    """Return what is new and what is gone since the last approval."""
    if changed.same:
        return shown("Permissions are the same as at the last approval.")
    parts: list[RenderableType] = [shown("Changed since the last approval", style="bold")]
    for words, style, which in (
        ("new ", "bold yellow", changed.added),
        ("gone", "dim", changed.removed),
    ):
        # Against nothing, every row of a review is one thing that is asked for.
        parts += [
            shown(f"  {words} {row.kind} {row.label}", _LIST_CHARS, style)
            for row in review(which, PermissionSet()).rows
        ]
    return lines(parts)


def library_changes(
    before: "Sequence[Library]", after: "Sequence[Library]"
) -> list[RenderableType]:
    """Return one line for each library that is new, gone, or another version or file."""
    rows = [(f"  + {one.label}", "green") for one in after if one not in before]
    rows += [(f"  - {one.label}", "yellow") for one in before if one not in after]
    found: list[RenderableType] = [shown(words, style=style) for words, style in rows]
    return (
        [shown("Libraries changed since the last approval", style="bold"), *found] if rows else []
    )


def config_block(config: Mapping[str, Any]) -> RenderableType:
    """Return the operator's values, one line each."""
    parts: list[RenderableType] = [shown("With the configuration", style="bold")]
    for key, value in config.items():
        parts += read_whole(f"  {key} = {json.dumps(value, ensure_ascii=False)}")
    return lines(parts)


def findings_block(findings: "Sequence[Finding]") -> list[RenderableType]:
    """Return each fault with its place, code and hint."""
    parts: list[RenderableType] = []
    for one in findings:
        parts.append(
            whole(
                Text.assemble(
                    shown("  ! ", style="bold red"),
                    shown(one.message, _LIST_CHARS),
                    shown(f" [{one.code}]", style="dim"),
                )
            )
        )
        if one.hint:
            parts += [_hint(row) for row in one.hint.splitlines()]
    return parts


def inspection(one: Inspection, runs_in: str) -> RenderableType:
    """Return all that `show` says about one package under one entry."""
    state = Text.assemble("  status   ", shown(one.status.value, style=_STATUS[one.status.value]))
    if one.instance is not None:
        state.append_text(shown(f", enabled as {one.instance}"))
    parts: list[RenderableType] = [identity(one.package, runs_in), state]
    if one.findings:
        parts += ["", *findings_block(one.findings)]
    parts += ["", review_block(one.review, one.surfaces), legend(one.review)]
    refused = [surface for surface in one.surfaces if not surface.eligible]
    if refused and one.instance is not None:
        parts.append(shown("Not usable as it stands", style="bold"))
        parts += [
            shown(f"  {surface.kind} {surface.name}: {surface.reason}", _LIST_CHARS, "yellow")
            for surface in refused
        ]
    if one.instance is None:
        package = one.package
        stored = package.source in ("project", "user")
        word = shell_word(package.reference) if stored else as_path(package.path)
        parts.append(_next(f"enable it: yoi plugin enable {word}"))
    return lines(parts)


def overview(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return one row per package and entry, the faults below."""
    if not items:
        return lines(
            [
                shown("no plugins in this workspace"),
                shown("  hint: yoi plugin new --help", style="cyan"),
            ]
        )
    grid = table("plugin", "version", "status", "enabled as", ">granted", "broad")
    trouble: list[RenderableType] = []
    brought: dict[str, RenderableType] = {}
    for item in items:
        rows = item.get("review", {}).get("rows", [])
        asked = [row for row in rows if row["requested"]]
        granted = sum(row["state"] == ReviewState.COVERED for row in asked)
        broad = any(row["broad"] for row in rows)
        grid.add_row(
            shown(item["reference"] or Path(item["path"]).name, style="bold"),
            shown(item.get("version") or ""),
            shown(item["status"], style=_STATUS[item["status"]]),
            shown(item.get("instance") or ""),
            shown(f"{granted}/{len(asked)}" if asked else ""),
            shown("BROAD" if broad else "", style="bold red"),
        )
        libraries = [
            f"{o['name']} {o['version']} ({o['licence']})" for o in item.get("libraries", ())
        ]
        if libraries:
            words = f"  {item['reference']} brings {', '.join(libraries)}"
            brought[item["reference"]] = shown(words, 2048, "dim")
        name = item["reference"] or item["path"]
        for fault in item["diagnostics"][:3]:
            trouble.append(whole(shown(f"  {name}: {fault['message']} [{fault['code']}]", 2048)))
            if fault["hint"]:
                trouble += [_hint(row) for row in fault["hint"].splitlines()]
    below = [*brought.values(), *trouble]
    return lines([grid, *([""] if below else []), *below])


def created(made: "Created", steps: Sequence[str]) -> RenderableType:
    """Return what was made and what to do with it."""
    return lines(
        [
            whole(Text.assemble("created ", shown(made.destination, 1024, "bold"))),
            *(shown(f"  {path}") for path in made.files),
            *(_next(f"next: {step}") for step in steps),
        ]
    )


def packed(result: "PackResult") -> RenderableType:
    """Return what was packed and what was left out."""
    package = result.package
    parts: list[RenderableType] = [
        whole(Text.assemble("packed ", shown(result.path, 1024, "bold"))),
        pairs(
            [
                ("package", shown(f"{package.id} {package.manifest.version}")),
                ("digest", shown(package.digest)),
                ("size", shown(f"{len(package.files)} files, {size(result.size)}")),
            ]
        ),
    ]
    if package.left_out:
        parts.append(shown("left out", style="bold"))
        parts += [shown(f"  {one.path}  ({one.reason})") for one in package.left_out]
    parts.append(_next(f"enable it: yoi plugin enable {shell_word(result.path)}"))
    return lines(parts)


def _hint(row: str) -> Text:
    return whole(shown(f"    hint: {row}", _LIST_CHARS, "cyan"))


def _next(words: str) -> Text:
    return whole(shown(f"  {words}", 2048, "cyan"))


def _rows(rows: Iterable[ReviewRow]) -> RenderableType:
    """Return one line per row; a long explanation continues below itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", max_width=48)
    grid.add_column(overflow="fold")
    for row in rows:
        mark, style = _MARK[row.state]
        kind = "" if row.kind == "permission" else f"{row.kind} "
        grid.add_row(
            shown(f"  {mark}", style=style),
            shown(f"{kind}{row.label}", _LIST_CHARS, "bold"),
            shown(row.explanation, _LIST_CHARS),
        )
        for reason in row.broad:
            grid.add_row("", "", shown(reason, _LIST_CHARS, "bold red"))
    return grid


def _where(details: Mapping[str, Any]) -> str:
    """Return where a connection leads: its url, or the target that holds every dial."""
    if details["open"] == "start":
        return str(details["url"])
    return f"opened by the plugin, within {details['target']}"


def _connection(surface: Surface) -> "list[RenderableType]":
    details = surface.details
    slow = {
        "pause": "reading pauses while it is slow, then closes with a gap",
        "drop_oldest": "the oldest frames are dropped while it is slow",
        "drop_newest": "new frames are dropped while it is slow",
        "disconnect": "the connection closes when it is slow",
    }.get(details["on_full"], details["on_full"])
    found: list[RenderableType] = [
        Text.assemble(
            "    ", shown(surface.name, style="bold"), "  ", shown(_where(details), 1024)
        ),
        Indented(
            shown(f"delivers {', '.join(details['deliver'])} to {details['ingress']}; {slow}"), 6
        ),
    ]
    if details["subprotocols"]:
        offered = ", ".join(details["subprotocols"])
        found.append(Indented(shown(f"offers the subprotocols {offered}"), 6))
    found += [
        Indented(shown(f"sends the header {name}: {value}", _LIST_CHARS), 6)
        for name, value in details["headers"].items()
    ]
    return found

"""`yoi trust`: decide what a workspace's yoi.toml says, after reading it."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.asking import check_can_ask, confirm
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, read_whole, shown
from yoi.errors import TrustError, UsageError, YoiError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.decisions.compare import Change, Verdict
    from yoi.decisions.file import OperatorFile
    from yoi.decisions.port import AccountDecisions, InForce


def trust(
    show: Annotated[
        bool, typer.Option("--show", help="Print what is pending and the digest; decide nothing.")
    ] = False,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest", metavar="D", help="Decide without asking what `--show` printed with D."
        ),
    ] = None,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Also take over journals, tokens and keys that were not written for this "
            "workspace by this account.",
        ),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget every decision about this workspace.")
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Review what yoi.toml says and was not decided here, and put it in force.

    What an editor, a pull or a clone wrote is not in force before you decide it.
    """
    from yoi.decisions.file import read_file
    from yoi.decisions.port import AccountDecisions

    if sum((show, digest is not None, forget)) > 1:
        raise UsageError("usage.arguments", "--show, --digest and --forget exclude each other")
    folder = workspace_folder(workspace)
    output = Output("trust", as_json)
    if forget:
        _forget(folder, output)
        return
    account = AccountDecisions()
    file = read_file(folder)
    foreign = _foreign(folder, account)
    found = file.in_force(account)
    changed = [one for one in found.verdicts if one.changes]
    if show:
        output.show(
            {**_json(file, found, changed), "foreign": [path.name for path in foreign]},
            lambda: _review(folder, file, found, changed, foreign),
        )
        return
    if digest is not None:
        _same(file, digest)
    else:
        how = "yoi trust --digest D --adopt" if adopt else "yoi trust --digest D"
        check_can_ask(as_json=as_json, hint=f"read it with: yoi trust --show; then: {how}")
        output.before(lambda: _review(folder, file, found, changed, foreign))
        if changed or (adopt and foreign):
            confirm("Put this in force?")
            # Read again: what was shown is decided, and nothing that was written meanwhile.
            _same(read_file(folder), file.digest)
    if adopt:
        _check_adoptable(foreign)
    account.store.record(folder, {one.entry: file.entries.get(one.entry) for one in changed})
    adopted = _adopt(folder, account) if adopt else []
    host = _reload(folder, [one.entry for one in changed])
    output.show(
        {
            "digest": file.digest,
            "decided": [one.entry for one in changed],
            "adopted": [path.name for path in adopted],
            "host": host,
        },
        lambda: _done(changed, adopted, host),
    )


def _foreign(folder: Path, account: "AccountDecisions") -> list[Path]:
    """Return the host's files in the workspace that are not opened, for they are not its own."""
    from yoi.serving.adopting import foreign_files

    found = account.store.read(folder)
    # Where nothing was ever decided, no file is ours.
    return foreign_files(folder, secrets.token_hex(16) if found is None else found.id)


def _check_adoptable(foreign: list[Path]) -> None:
    """Raise TrustError before anything is decided, where adopting would."""
    from yoi.serving.adopting import check_adoptable

    check_adoptable(foreign)


def _adopt(folder: Path, account: "AccountDecisions") -> list[Path]:
    from yoi.serving.adopting import adopt

    return adopt(folder, account.store.identity(folder))


def _forget(folder: Path, output: Output) -> None:
    from yoi.decisions.port import AccountDecisions

    forgotten = AccountDecisions().store.forget(folder)
    words = "forgotten; nothing is in force here" if forgotten else "nothing was decided here"
    output.show({"forgotten": forgotten, "host": _reload(folder, [])}, lambda: shown(words))


def _reload(folder: Path, entries: Sequence[str]) -> dict[str, Any]:
    from yoi.cli.reloading import reload_host

    return reload_host(folder, entries)


def _same(file: "OperatorFile", digest: str) -> None:
    if file.digest != digest:
        raise TrustError(
            "trust.changed",
            "yoi.toml is not what was shown; nothing was decided",
            hint="read it again: yoi trust --show",
            expected=digest,
            found=file.digest,
        )


def _json(file: "OperatorFile", found: "InForce", changed: "Sequence[Verdict]") -> dict[str, Any]:
    return {
        "digest": file.digest,
        "workspace": str(file.workspace),
        "entries": sorted(file.entries),
        "in_force": sorted(found.entries),
        "changes": [
            {
                "entry": one.entry,
                "in_force": "nothing" if one.in_force is None else "part",
                "changes": [
                    {
                        "kind": change.turn.value,
                        "at": change.at,
                        "before": change.before,
                        "after": change.after,
                    }
                    for change in one.changes
                ],
            }
            for one in changed
        ],
    }


def _review(
    folder: Path,
    file: "OperatorFile",
    found: "InForce",
    changed: "Sequence[Verdict]",
    foreign: Sequence[Path],
) -> "RenderableType":
    from yoi.cli.layout import lines, whole
    from yoi.decisions.words import entry_words, verdict_words

    parts: list[RenderableType] = []
    for one in changed:
        why = verdict_words(one) or "gone, wholly or partly"
        title = shown(f"{entry_words(one.entry)}: {why}", 1024, "bold")
        parts += [whole(title), *_entry(folder, file, found, one), ""]
    if foreign:
        names = ", ".join(path.name for path in foreign)
        parts.append(
            shown(
                f"not written for this workspace by this account, and not opened: {names}",
                1024,
                "bold yellow",
            )
        )
        parts.append(shown("  if you know where they come from: yoi trust --adopt", 512, "cyan"))
        parts.append("")
    if not changed:
        parts.append(shown("nothing is pending: all that yoi.toml says is in force", style="green"))
    parts.append(whole(shown(f"digest {file.digest}", style="dim")))
    return lines(parts)


def _entry(
    folder: Path, file: "OperatorFile", found: "InForce", one: "Verdict"
) -> "Sequence[RenderableType]":
    """Return what is different in one entry, in the words of the review for a plugin."""
    content = file.entries.get(one.entry)
    if one.entry.startswith("plugin:") and content is not None:
        try:
            return _plugin(folder, content, found.decided.get(one.entry), one)
        except YoiError as exc:
            return [shown(f"  cannot be used: {exc.message}", 1024, "yellow")]
    rows = [row for change in one.changes for row in _change(change)]
    if one.entry == "mcp" and content is not None:
        rows += _programs(content)
    return [part for row in rows for part in read_whole(row)]


def _programs(content: "Mapping[str, Any]") -> "Sequence[str]":
    """Return what a person must know of each program that an entry would start."""
    servers = content.get("servers")
    return [
        f"  {row.get('name')}: runs with your rights, outside the sandbox: "
        f"{' '.join(map(str, row['command']))}"
        for row in (servers if isinstance(servers, list) else ())
        if isinstance(row, dict) and isinstance(row.get("command"), list)
    ]


def _plugin(
    folder: Path,
    content: "Mapping[str, Any]",
    decided: "Mapping[str, Any] | None",
    one: "Verdict",
) -> "Sequence[RenderableType]":
    from yoi.cli import plugin_view
    from yoi.cli.machine_words import names_lines
    from yoi.cli.sources import runs_in
    from yoi.packages import difference, inspect, package_inventory
    from yoi.permissions import PermissionSet, review

    entry = _parsed(folder, content)
    before = PermissionSet() if decided is None else _parsed(folder, decided).granted
    parts: list[RenderableType] = []
    try:
        package = package_inventory(folder).find(entry.reference)
    except YoiError as exc:
        parts.append(shown(f"  {exc.message}", 1024, "yellow"))
    else:
        if package.digest != entry.digest:
            parts.append(
                shown("  the package in the store is another one: it will not run", 512, "yellow")
            )
        reviewed = review(package.manifest.requested, entry.granted)
        parts += [
            plugin_view.identity(package, runs_in(package)),
            plugin_view.review_block(reviewed, inspect(package, entry).surfaces),
            *names_lines(package.manifest.requested),
            plugin_view.legend(reviewed),
        ]
    if decided is not None:
        parts.append(plugin_view.difference_block(difference(before, entry.granted)))
    for change in one.changes:
        if change.at and not change.at.startswith("grants"):
            parts += [part for row in _change(change) for part in read_whole(row)]
    if decided is None and entry.config:
        parts.append(plugin_view.config_block(entry.config))
    return parts


def _parsed(folder: Path, content: "Mapping[str, Any]") -> Any:
    from yoi.decisions.file import operator_file
    from yoi.packages import Enablement

    found = Enablement.of({"plugins": {"enabled": [content]}}, operator_file(folder))
    for fault in found.diagnostics:
        raise fault.error
    return found.entries[0]


def _change(change: "Change") -> "Sequence[str]":
    """Return the lines of one difference."""
    from yoi.decisions.compare import Turn

    if change.at:
        if change.turn in (Turn.NEW, Turn.GONE) or None in (change.before, change.after):
            value = change.before if change.after is None else change.after
            return [f"  {change.turn.value}: {change.at} = {_value(value)}"]
        return [
            f"  {change.turn.value}: {change.at} = {_value(change.after)} "
            f"(was {_value(change.before)})"
        ]
    whole = change.before if change.after is None else change.after
    word = "gone" if change.after is None else ""
    return [
        f"  {word} {key} = {_value(value)}".replace("   ", "  ") for key, value in whole.items()
    ]


def _value(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _done(
    changed: "Sequence[Verdict]", adopted: Sequence[Path], host: "Mapping[str, Any]"
) -> "RenderableType":
    from yoi.cli.layout import lines
    from yoi.cli.reloading import host_lines
    from yoi.decisions.words import entry_words

    names = ", ".join(entry_words(one.entry) for one in changed)
    parts = [shown(f"decided: {names}" if changed else "nothing to decide", 1024, "bold green")]
    if adopted:
        parts.append(shown(f"adopted: {', '.join(path.name for path in adopted)}", 1024, "green"))
    return lines([*parts, *host_lines(host)])

"""`yoi plugin enable` and `disable`: the review, the question, the grant."""

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.errors import ControlError, EnablementError, PackageError, UsageError, YoiError
from yoi.types import InstanceName

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.packages import EnabledEntry, Package


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be written, beside what is there now."""

    package: "Package"
    entry: "EnabledEntry"
    before: "EnabledEntry | None"
    copies: Path | None
    """The path to copy into the workspace's store first, where a path was named."""

    @property
    def changes(self) -> bool:
        """Return whether anything would be different."""
        return self.before != self.entry or self.copies is not None


def enable(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="project:ID, user:ID, ID, or a path.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--as", "--name", metavar="NAME", help="The instance's name (default: ID)."),
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", metavar="KEY=VALUE", help="A value for the plugin."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", metavar="FILE", help="Values as TOML or JSON."),
    ] = None,
    grant_requested: Annotated[
        bool, typer.Option("--grant-requested", help="Grant exactly what it asks for.")
    ] = False,
    grant: Annotated[
        Path | None,
        typer.Option("--grant", metavar="FILE", help="Grant what this TOML file says."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="NAME=STORE_NAME",
            help="Which secret of the store the plugin's secret NAME is.",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Do not ask; needs --grant-requested or --grant FILE."),
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Review a plugin, grant what it may do, and switch it on."""
    from yoi.cli.grants import read_config, read_grant, read_secrets
    from yoi.decisions.recording import enable as record
    from yoi.packages import EnabledEntry, validate_config
    from yoi.permissions import PermissionSet

    check_flags(yes=yes, explicit=grant_requested or grant is not None, as_json=as_json)
    if grant_requested and grant is not None:
        raise UsageError("usage.arguments", "--grant-requested and --grant exclude each other")
    if secret and grant is not None:
        raise UsageError(
            "usage.arguments",
            "--secret and --grant exclude each other: the file names its secrets",
        )
    folder = workspace_folder(workspace)
    output = Output("plugin enable", as_json)
    package, copies = _package(reference, folder)
    if copies is None:
        _mention_folder(reference, package, output)
    instance = _instance_name(name or package.id)
    before = _before(folder, instance)
    values = dict(before.config) if before is not None else {}
    values |= read_config(config or [], config_file, package.manifest.config_schema)
    validate_config(package.manifest.config_schema, values)
    requested = package.manifest.requested
    granted_before = PermissionSet() if before is None else before.granted
    secrets = read_secrets(secret or [], requested, granted_before)
    proposal = Proposal(
        package,
        EnabledEntry(
            reference=f"project:{package.id}" if copies is not None else package.reference,
            name=instance,
            version=package.manifest.version,
            digest=package.digest,
            surfaces=None if before is None else before.surfaces,
            config=values,
            senders=() if before is None else before.senders,
            granted=requested.granting(secrets) if grant is None else read_grant(grant),
        ),
        before,
        copies,
    )
    _refuse_unsound(proposal)
    output.before(lambda: _review(proposal, folder))
    running = _running(folder, instance)
    if running is not None and proposal.changes:
        output.note(_will_change(proposal, running), style="")
    if not yes:
        confirm(f"Enable {instance} with these grants?")
    if copies is not None:
        output.note(f"copied to {_copy(copies, proposal, folder)}")
    host = reload_host(folder, [record(folder, proposal.entry)])
    missing = _missing(folder, proposal.entry.granted.secret_names)
    output.show(
        {
            "reference": proposal.entry.reference,
            "instance": instance,
            "version": proposal.entry.version,
            "digest": proposal.entry.digest,
            "changed": proposal.changes,
            "review": _review_of(proposal).to_json(),
            "difference": _difference_json(proposal),
            "missing_secrets": missing,
            "host": host,
        },
        lambda: _done(f"enabled {instance}", host, missing),
    )


def _missing(workspace: Path, names: Iterable[str]) -> list[str]:
    """Return those of the granted secrets that the store lacks; none where it cannot be asked."""
    from yoi.cli.secrets_there import missing_secrets

    try:
        return missing_secrets(workspace, names)
    except YoiError:
        return []


def disable(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An instance's name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Switch a plugin off: its service stops, its connections close, its grants are dropped."""
    from yoi.decisions.recording import disable as record
    from yoi.decisions.recording import plugin_entry

    folder = workspace_folder(workspace)
    output = Output("plugin disable", as_json)
    entry = _entry_or_fault(folder, _instance_name(name))
    running = _running(folder, name)
    output.note(_will_close(name, entry, running), style="")
    if not yes and running is not None:
        check_flags(yes=False, explicit=True, as_json=as_json)
        confirm(f"Disable {name}?")
    fault = record(folder, name)
    if fault is not None:
        output.note(f"yoi.toml was left as it is: {fault.message}", "yellow")
    host = reload_host(folder, [plugin_entry(name)])
    output.show({"instance": name, "host": host}, lambda: _done(f"disabled {name}", host))


def reload_host(workspace: Path, entries: Sequence[str]) -> dict[str, Any]:
    """Tell a host that runs in `workspace` what was decided; return what it did, or why not."""
    from yoi.cli.service import ask, host_runs

    done: dict[str, Any] = {"started": [], "stopped": [], "restarted": []}
    if not host_runs(workspace):
        return {"running": False, **done, "error": None}
    try:
        return {
            "running": True,
            **done,
            **ask(workspace, "host.reload", entries=list(entries)),
            "error": None,
        }
    except ControlError as exc:
        error = {"code": exc.code, "message": exc.message, "hint": exc.hint}
        return {"running": True, **done, "error": error}


def check_flags(*, yes: bool, explicit: bool, as_json: bool) -> None:
    """Refuse what could approve something nobody has read."""
    if yes and not explicit:
        raise UsageError(
            "usage.arguments",
            "--yes approves without asking, so it must say what: add --grant-requested or "
            "--grant FILE",
        )
    if not yes and (as_json or not (sys.stdin.isatty() and sys.stderr.isatty())):
        raise UsageError(
            "usage.arguments",
            "nobody can be asked here (no terminal, or --json)",
            hint="say it on the command line: --yes with --grant-requested or --grant FILE",
        )


def confirm(question: str) -> None:
    """Ask on the terminal; raises UsageError `usage.aborted` unless the answer is yes."""
    if not typer.confirm(question, default=False, err=True):
        raise UsageError("usage.aborted", "nothing was changed")


def _package(reference: str, workspace: Path) -> "tuple[Package, Path | None]":
    """Return the package, and its path where that must be copied into the store first."""
    from yoi.cli.sources import locate
    from yoi.packages import inventory

    return locate(reference, inventory(workspace))


def _mention_folder(reference: str, package: "Package", output: Output) -> None:
    """Say so where a folder of that name, perhaps just edited, is not what gets enabled."""
    from yoi.cli.sources import as_path, is_plugin_folder
    from yoi.packages import read_package

    folder = Path(reference)
    if not is_plugin_folder(folder):
        return
    with contextlib.suppress(YoiError):
        if read_package(folder).digest == package.digest:
            return
    output.note(
        f"this is {package.reference} in the store, not the folder {folder}; "
        f"for the folder: yoi plugin enable {as_path(folder)}",
        "yellow",
    )


def _instance_name(text: str) -> InstanceName:
    from yoi.toml import is_safe_id

    if not is_safe_id(text):
        raise UsageError(
            "usage.arguments",
            f"{text!r} cannot name an instance: use letters, digits, '-', '_' and '.'",
        )
    return InstanceName(text)


def _before(workspace: Path, name: str) -> "EnabledEntry | None":
    """Return what of the entry called `name` is in force: defaults come from nothing else."""
    from yoi.decisions.file import operator_file, read_file
    from yoi.decisions.port import AccountDecisions
    from yoi.packages import Enablement

    document = read_file(workspace).in_force(AccountDecisions()).document
    return Enablement.of(document, operator_file(workspace)).find(name)


def _entry_or_fault(workspace: Path, name: str) -> "EnabledEntry | None":
    """Return the entry called `name`; None where it is a faulty one, or only decided.

    Raises EnablementError for a name of none of these.
    """
    from yoi.decisions.file import operator_file
    from yoi.decisions.port import AccountDecisions
    from yoi.decisions.recording import plugin_entry
    from yoi.packages import Enablement

    decided = plugin_entry(name) in AccountDecisions().store.entries(workspace)
    try:
        found = Enablement.load(operator_file(workspace))
    except EnablementError:
        if decided:
            return None
        raise
    entry = found.find(name)
    if entry is None and not decided and all(fault.name != name for fault in found.diagnostics):
        names = ", ".join(one.name for one in found.entries)
        raise EnablementError(
            "enablement.missing",
            f"nothing is enabled under the name {name}",
            hint=f"enabled are: {names}" if names else "see what there is with: yoi plugin list",
        )
    return entry


def _refuse_unsound(proposal: Proposal) -> None:
    """Raise for a package that could not run whatever is granted."""
    from yoi.packages import inspect

    for fault in inspect(proposal.package, None).findings:
        raise PackageError(
            fault.code if fault.code.startswith("package.") else "package.malformed",
            fault.message,
            hint=fault.hint or f"yoi plugin check {proposal.package.path}",
        )


def _approved(before: "EnabledEntry", workspace: Path) -> "Package | None":
    """Return the package as it was approved, where the store still has it."""
    from yoi.packages import inventory

    for package in inventory(workspace).packages:
        if (package.reference, package.digest) == (before.reference, before.digest):
            return package
    return None


def _review_of(proposal: Proposal) -> Any:
    from yoi.permissions import review

    return review(proposal.package.manifest.requested, proposal.entry.granted)


def _review(proposal: Proposal, workspace: Path) -> "RenderableType":
    from yoi.cli import plugin_view
    from yoi.cli.layout import lines, whole
    from yoi.cli.sources import runs_in
    from yoi.packages import difference, inspect

    package, before = proposal.package, proposal.before
    found = _review_of(proposal)
    parts: list[RenderableType] = [plugin_view.identity(package, runs_in(package))]
    if proposal.copies is not None:
        store = workspace / ".yoi" / "plugins"
        parts.append(whole(shown(f"  it will be copied into {store}", 2048)))
    parts += ["", plugin_view.review_block(found, inspect(package, proposal.entry).surfaces)]
    parts.append(plugin_view.legend(found))
    if before is not None:
        if before.reference != proposal.entry.reference:
            parts.append(
                shown(f"  {before.name} was {before.reference} until now.", style="bold yellow")
            )
        elif before.digest != package.digest:
            parts.append(
                whole(
                    shown(
                        f"  The code changed: {before.version} {before.digest} was approved.",
                        style="bold yellow",
                    )
                )
            )
        approved = _approved(before, workspace)
        if approved is not None:
            parts += plugin_view.library_changes(approved.library_list, package.library_list)
        parts.append(
            plugin_view.difference_block(difference(before.granted, proposal.entry.granted))
        )
    if proposal.entry.config:
        parts.append(plugin_view.config_block(proposal.entry.config))
    return lines([*parts, ""])


def _difference_json(proposal: Proposal) -> Any:
    from yoi.packages import difference

    if proposal.before is None:
        return None
    return difference(proposal.before.granted, proposal.entry.granted).to_json()


def _copy(path: Path, proposal: Proposal, workspace: Path) -> Path:
    """Put the package into the store and return its path; it must be what was reviewed."""
    from yoi.packages import Store, add_to_store

    added = add_to_store(path, Store.project(workspace))
    if added.digest != proposal.package.digest:
        raise PackageError(
            "package.digest",
            f"{path} changed while it was being reviewed; it is in the store, but not enabled",
            hint=f"review it again with: yoi plugin enable {added.reference}",
        )
    return added.path


def _running(workspace: Path, name: str) -> dict[str, Any] | None:
    from yoi.cli.service import ask

    try:
        answer = ask(workspace, "service.status", name=name)
    except YoiError:
        return None
    return answer if isinstance(answer, dict) else None


def _will_change(proposal: Proposal, running: dict[str, Any]) -> str:
    """Return what the running host will close and drop when the proposal is in force."""
    entry, before = proposal.entry, proposal.before
    links = [str(link.get("name")) for link in running.get("connections", [])]
    waiting = running.get("queue_depth", 0)
    same = before is not None and (before.digest, before.config) == (entry.digest, entry.config)
    if not same:
        sockets = f"closes {', '.join(links)}, " if links else ""
        return (
            f"on the running host: {entry.name} is replaced, which {sockets}"
            f"lets {waiting} waiting events finish, and drops what does not finish in time"
        )
    closing = _refused(proposal, links)
    if not closing:
        return f"on the running host: {entry.name} goes on, and no connection closes"
    return (
        f"on the running host: {', '.join(closing)} closes at once (1012) and is not dialled "
        "again; messages of it that are not yet answered find no socket"
    )


def _refused(proposal: Proposal, links: list[str]) -> list[str]:
    """Return which of `links` the host itself would no longer allow under the proposal."""
    from yoi.packages import resolve_package
    from yoi.runtime.connection_specs import CurrentDecision

    plugin = resolve_package(proposal.package, proposal.entry)
    allowed = {
        one.name
        for one in plugin.package.manifest.connections
        if CurrentDecision(plugin, one)().allowed
    }
    return [name for name in links if name not in allowed]


def _will_close(name: str, entry: "EnabledEntry | None", running: dict[str, Any] | None) -> str:
    if running is None:
        what = "nothing of it is running"
    else:
        links = [str(link.get("name")) for link in running.get("connections", [])]
        what = f"its service stops ({running.get('lifecycle')})"
        if links:
            what += f" and these connections close (1012): {', '.join(links)}"
        waiting = running.get("queue_depth", 0)
        if waiting:
            what += f"; {waiting} waiting events are dropped if they do not finish in time"
    plugin = entry.reference if entry is not None else "a faulty entry"
    return f"{name} is {plugin}; {what}; its grants are dropped"


def _done(words: str, host: dict[str, Any], missing: Sequence[str] = ()) -> "RenderableType":
    from yoi.cli.layout import lines

    parts: list[RenderableType] = [shown(words, style="bold green")]
    for name in missing:
        parts.append(shown(f"  it lacks the secret {name}", style="yellow"))
        parts.append(shown(f"  hint: yoi secret set {name}", style="cyan"))
    return lines([*parts, *host_lines(host)])


def host_lines(host: Mapping[str, Any]) -> "Sequence[RenderableType]":
    """Return what `reload_host` returned, for a person."""
    parts: list[RenderableType] = []
    if not host["running"]:
        parts.append(shown("  no host is running; start one with: yoi serve", style="cyan"))
    elif host["error"] is not None:
        error = host["error"]
        parts.append(
            shown(
                f"  the running host could not reload: {error['message']} [{error['code']}]",
                1024,
                "bold yellow",
            )
        )
    elif host.get("pending"):
        words = "  the running host is still at it; follow it with: yoi service list"
        parts.append(shown(words, style="yellow"))
    else:
        for verb in ("started", "restarted", "stopped"):
            if host.get(verb):
                parts.append(shown(f"  the running host {verb}: {', '.join(host[verb])}", 1024))
    return parts

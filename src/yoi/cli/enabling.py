"""`yoi plugin enable` and `disable`: the review, the question, the grant."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.asking import check_can_ask, confirm
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output
from yoi.cli.proposal import (
    Proposal,
    copy_to_store,
    difference_json,
    refuse_unsound,
    review,
    review_of,
    will_change,
)
from yoi.cli.reloading import done, reload_host
from yoi.display import shell_word
from yoi.errors import EnablementError, UsageError, YoiError
from yoi.types import InstanceName

if TYPE_CHECKING:
    from yoi.packages import EnabledEntry, Package


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
    from yoi.cli.checking import source_findings
    from yoi.cli.grants import read_config, read_grant, read_secrets
    from yoi.cli.machine_words import names_note
    from yoi.decisions.recording import enable as record
    from yoi.packages import EnabledEntry, validate_config
    from yoi.permissions import PermissionSet

    check_flags(yes=yes, explicit=grant_requested or grant is not None)
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
    instance = _instance_name(package.id if name is None else name)
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
            runs_on=() if before is None else before.runs_on,
            weight=1 if before is None else before.weight,
            granted=requested.granting(secrets) if grant is None else read_grant(grant),
        ),
        before,
        copies,
    )
    refuse_unsound(proposal)
    if not yes:
        check_can_approve(as_json=as_json)
    output.before(lambda: review(proposal, folder))
    running = _running(folder, instance)
    if running is not None and proposal.changes:
        output.note(will_change(proposal, running), style="")
    if not yes:
        confirm(f"Enable {instance} with these grants?")
    copied: list[Path] = []

    def copying() -> None:
        if copies is not None:
            copied.append(copy_to_store(proposal, folder))

    entry = record(folder, proposal.entry, copying=copying)
    for place in copied:
        output.note(f"copied to {place}")
    host = reload_host(folder, [entry])
    missing = _missing(folder, proposal.entry.granted.secret_names)
    output.show(
        {
            "reference": proposal.entry.reference,
            "instance": instance,
            "version": proposal.entry.version,
            "digest": proposal.entry.digest,
            "changed": proposal.changes,
            "review": review_of(proposal).to_json(),
            "network": names_note(requested),
            "difference": difference_json(proposal),
            "missing_secrets": missing,
            "diagnostics": [one.to_json() for one in source_findings(package)],
            "host": host,
        },
        lambda: done(f"enabled {instance}", host, missing),
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
        check_can_ask(as_json=as_json, hint=f"yoi plugin disable {shell_word(name)} --yes")
        confirm(f"Disable {name}?")
    fault = record(folder, name)
    if fault is not None:
        output.note(f"yoi.toml was left as it is: {fault.message}", "yellow")
    host = reload_host(folder, [plugin_entry(name)])
    output.show({"instance": name, "host": host}, lambda: done(f"disabled {name}", host))


def check_flags(*, yes: bool, explicit: bool) -> None:
    """Refuse options that would approve something which no person has read."""
    if yes and not explicit:
        raise UsageError(
            "usage.arguments",
            "--yes approves without asking, so it must say what: add --grant-requested or "
            "--grant FILE",
        )


def check_can_approve(*, as_json: bool) -> None:
    """Refuse to go on to a question about grants where no person can be asked."""
    check_can_ask(
        as_json=as_json,
        hint="say it on the command line: --yes with --grant-requested or --grant FILE",
    )


def _package(reference: str, workspace: Path) -> "tuple[Package, Path | None]":
    """Return the package, and its path where that must be copied into the store first."""
    from yoi.cli.sources import locate
    from yoi.packages import package_inventory

    return locate(reference, package_inventory(workspace))


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
    from yoi.toml import SAFE_ID_WORDS, is_safe_id

    if not is_safe_id(text):
        raise UsageError(
            "usage.arguments",
            f"{text!r} cannot name an instance: it must be {SAFE_ID_WORDS}",
        )
    return InstanceName(text)


def _before(workspace: Path, name: str) -> "EnabledEntry | None":
    """Return the entry called `name` as it is in force: the defaults of the new one."""
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


def _running(workspace: Path, name: str) -> dict[str, Any] | None:
    from yoi.cli.host_calls import ask

    try:
        answer = ask(workspace, "service.status", name=name)
    except YoiError:
        return None
    return answer if isinstance(answer, dict) else None


def _will_close(name: str, entry: "EnabledEntry | None", running: dict[str, Any] | None) -> str:
    if running is None:
        what = "nothing of it is running"
    else:
        connections = [str(connection.get("name")) for connection in running.get("connections", [])]
        what = f"its service stops ({running.get('lifecycle')})"
        if connections:
            what += f" and these connections close (1012): {', '.join(connections)}"
        waiting = running.get("queue_depth", 0)
        if waiting:
            what += f"; {waiting} waiting events are dropped if they do not finish in time"
    plugin = entry.reference if entry is not None else "a faulty entry"
    return f"{name} is {plugin}; {what}; its grants are dropped"

"""`yoi plugin dev`: the printing and asking part; `yoi.host.dev` does the work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.asking import can_ask
from yoi.cli.enabling import check_can_approve, check_flags
from yoi.cli.options import JsonLines, workspace_folder
from yoi.cli.output import Output
from yoi.display import shell_word
from yoi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from yoi.cli.serve import Printer
    from yoi.packages import Package
    from yoi.permissions import PermissionSet


def dev(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The plugin's source folder.")],
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", metavar="KEY=VALUE", help="A value for the plugin."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", metavar="FILE", help="Values as TOML or JSON."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="NAME=STORE_NAME",
            help="Which secret of the store the plugin's secret NAME is.",
        ),
    ] = None,
    grant_requested: Annotated[
        bool, typer.Option("--grant-requested", help="Grant what it asks for at the start.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask at the start; needs --grant-requested.")
    ] = False,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            metavar="DIR",
            help="The workspace whose secrets are used (default: the plugin's own folder).",
        ),
    ] = None,
    as_json: JsonLines = False,
) -> int:
    """Run a plugin from its folder, reloading on save; the grant ends with the session.

    A save that changes what the plugin asks for stops it, then asks you again.
    """
    from yoi.cli.grants import read_config, read_secrets
    from yoi.cli.serve import Printer
    from yoi.packages import read_package
    from yoi.permissions import PermissionSet

    check_flags(yes=yes, explicit=grant_requested)
    if not folder.is_dir():
        raise UsageError(
            "usage.arguments", f"{folder} is not a folder", hint="yoi plugin new --help"
        )
    output = Output("plugin dev", as_json)
    manifest = read_package(folder).manifest
    values = read_config(config or [], config_file, manifest.config_schema)
    secrets = read_secrets(secret or [], manifest.requested, PermissionSet())
    if not yes:
        check_can_approve(as_json=as_json)
    printer = Printer(output, folder, frozenset())
    from yoi.host import Host
    from yoi.host.dev import DevSession, developing
    from yoi.host.process import run
    from yoi.types import SystemClock

    def ready(host: "Host") -> None:
        printer.ready(host)
        output.note(
            f"save a file to run it again; look inside: yoi service list -w {shell_word(folder)}"
        )

    clock, source = SystemClock(), folder.resolve()
    approval = Approval(output, secrets, printer, granted_at_start=yes)
    session = DevSession(source, values, secrets, approval.ask, clock)
    host = Host(
        source,
        on_diagnostic=printer.tell,
        preparing=printer.preparing,
        parts=developing(session, source, workspace_folder(workspace) if workspace else None),
        clock=clock,
    )
    return run(host, ready)


class Approval:
    """Shows what a folder asks for and takes the answer; called again when that changes."""

    def __init__(
        self,
        output: Output,
        secrets: "Mapping[str, str]",
        printer: "Printer",
        *,
        granted_at_start: bool,
    ) -> None:
        self._output = output
        self._printer = printer
        self._secrets = secrets
        self._given = granted_at_start

    def ask(self, package: "Package", before: "PermissionSet | None") -> bool:
        """Return whether the person agrees; without a terminal to ask at, the answer is no."""
        self._output.before(lambda: _review(package, before, self._secrets))
        if self._given:
            # Given on the command line, once: it cannot speak for a later save.
            self._given = False
            return True
        if not can_ask(as_json=self._output.as_json):
            return False
        self._output.note("Nothing of it runs while you read.")
        # What is told meanwhile follows the answer: the question stays the last line.
        with self._printer.holding():
            return typer.confirm("Let it do this until this session ends?", default=False, err=True)


def _review(
    package: "Package", before: "PermissionSet | None", secrets: "Mapping[str, str]"
) -> "RenderableType":
    from yoi.cli import plugin_view
    from yoi.cli.layout import lines
    from yoi.cli.sources import runs_in
    from yoi.packages import difference, inspect
    from yoi.permissions import review

    requested = package.manifest.requested
    parts = [plugin_view.identity(package, runs_in(package)), ""]
    if before is not None:
        parts.append(plugin_view.difference_block(difference(before, requested)))
    surfaces = inspect(package, None).surfaces
    parts.append(plugin_view.review_block(review(requested, requested.granting(secrets)), surfaces))
    return lines(parts)

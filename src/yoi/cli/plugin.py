"""`yoi plugin`: the commands that look at packages and make them. Enabling is in `enabling`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli import developing, enabling, plugin_libraries
from yoi.cli.exits import Exit
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output
from yoi.cli.pending import enablement, mention_pending
from yoi.display import shell_word

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.packages import Enablement, Inspection, Package, PackageInventory

app = typer.Typer(help="Write, check, review and enable plugins.", rich_markup_mode=None)
app.command("enable")(enabling.enable)
app.command("disable")(enabling.disable)
app.command("dev")(developing.dev)
app.command("add")(plugin_libraries.add)
app.command("remove")(plugin_libraries.remove)
app.command("update")(plugin_libraries.update)
app.command("libraries")(plugin_libraries.libraries)

SAFETY = {
    "no_network": True,
    "no_plugin_execution": True,
    "no_enablement_config_mutation": True,
    "no_secrets_generated": True,
}
"""What these commands never do; said in their JSON as the ancestor did."""


@app.command("new")
def new(
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="websocket, service or tool.")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    plugin_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Default: the folder's name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a plugin from a template; nothing is fetched, run or enabled."""
    from yoi.cli import plugin_view
    from yoi.cli.sources import as_path
    from yoi.packages import create_from_template

    created = create_from_template(template, destination, plugin_id)
    steps = [
        f"yoi plugin check {shell_word(destination)}",
        f"yoi plugin dev {shell_word(destination)}",
        f"yoi plugin enable {as_path(destination)}",
    ]
    Output("plugin new", as_json).show(
        {
            "template": created.template,
            "destination": str(created.destination),
            "id": created.id,
            "files": list(created.files),
            "safety": SAFETY,
            "next_steps": steps,
        },
        lambda: plugin_view.created(created, steps),
    )


@app.command("list")
def list_(workspace: Workspace = None, as_json: Json = False) -> None:
    """List the packages in the stores, what is enabled, and what is wrong with either."""
    from yoi.packages import package_inventory

    folder = workspace_folder(workspace)
    items = listing(package_inventory(folder), enablement(folder))
    output = Output("plugin list", as_json)
    pending = mention_pending(folder, output)
    output.show(
        {"workspace": str(folder), "items": items, "pending": pending},
        lambda: _overview(items),
    )


def _overview(items: list[dict[str, Any]]) -> "RenderableType":
    # Imported here: programs read JSON, and rich takes a third of the time.
    from yoi.cli import plugin_view

    return plugin_view.overview(items)


@app.command("show")
def show(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="project:ID, user:ID, ID, or a path.")
    ],
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Show one package: what it is, what it asks for, what it was granted."""
    from yoi.cli import plugin_view
    from yoi.cli.layout import lines
    from yoi.cli.sources import find_package, runs_in
    from yoi.packages import package_inventory

    folder = workspace_folder(workspace)
    package = find_package(reference, package_inventory(folder))
    found = inspections(package, enablement(folder))
    output = Output("plugin show", as_json)
    pending = mention_pending(folder, output)
    output.show(
        {"items": [one.to_json() for one in found], "pending": pending},
        lambda: lines(plugin_view.inspection(one, runs_in(package)) for one in found),
    )


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A package file or a folder.")],
    fix: Annotated[
        bool, typer.Option("--fix", help="Declare in plugin.toml the tools marked with @tool.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Check a package without running it: manifest, files, source, schemas, what it asks for."""
    from yoi.cli import checking

    fixed = checking.fix(path) if fix else []
    answer = checking.check(path)
    Output("plugin check", as_json).show(
        {**answer.to_json(), "fixed": fixed, "safety": SAFETY},
        lambda: checking.render(answer, fixed),
    )
    return Exit.OK if answer.sound else Exit.FAILED


@app.command("pack")
def pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The plugin's source folder.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: beside DIR."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Make a .yoi-plugin file; the same files always give the same bytes."""
    from yoi import packages
    from yoi.cli import plugin_view

    result = packages.pack(folder, output, replace=force)
    package = result.package
    Output("plugin pack", as_json).show(
        {
            "status": "packed",
            "input_path": str(folder),
            "output_path": str(result.path),
            "size": result.size,
            "package": {
                "id": package.id,
                "version": package.manifest.version,
                "digest": package.digest,
                "entries": sorted(package.files),
            },
            "left_out": [{"path": one.path, "reason": one.reason} for one in package.left_out],
            "safety": SAFETY,
        },
        lambda: plugin_view.packed(result),
    )


def listing(inventory: "PackageInventory", enablement: "Enablement") -> list[dict[str, Any]]:
    """Return one item per package and entry, and one for each that is missing or unreadable."""
    from yoi.packages import Finding

    items = [
        one.to_json() for package in inventory.packages for one in inspections(package, enablement)
    ]
    present = {package.reference for package in inventory.packages}
    for entry in enablement.entries:
        if entry.reference not in present:
            items.append(
                {
                    "reference": entry.reference,
                    "instance": entry.name,
                    "status": "missing",
                    "version": entry.version,
                    "digest": entry.digest,
                    "diagnostics": [_missing(inventory, entry)],
                }
            )
    for broken in enablement.diagnostics:
        items.append(
            {
                "reference": broken.reference or broken.name,
                "instance": broken.name,
                "status": "rejected",
                "diagnostics": [Finding.of(broken.error).to_json()],
            }
        )
    for unreadable in inventory.unreadable:
        items.append(
            {
                "reference": None,
                "instance": None,
                "status": "rejected",
                "source": unreadable.source,
                "path": str(unreadable.path),
                "diagnostics": [Finding.of(unreadable.error).to_json()],
            }
        )
    return items


def inspections(package: "Package", enablement: "Enablement") -> "list[Inspection]":
    """Return the package under each entry that enables it, or not enabled."""
    from yoi.packages import inspect

    entries = [entry for entry in enablement.entries if entry.reference == package.reference]
    return [inspect(package, entry) for entry in entries] or [inspect(package, None)]


def _missing(inventory: "PackageInventory", entry: Any) -> dict[str, Any]:
    from yoi.errors import YoiError
    from yoi.packages import Finding, resolve_entry

    try:
        resolve_entry(inventory, entry)
    except YoiError as exc:
        return Finding.of(exc).to_json()
    raise AssertionError("an entry without a package cannot be resolved")

"""`yoi plugin add`, `remove`, `update` and `libraries`: Python libraries of a plugin."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.asking import check_can_ask, confirm
from yoi.cli.options import Json
from yoi.cli.output import Output, shown
from yoi.display import shell_word
from yoi.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.libraries import Change, Index, LibraryFolder
    from yoi.packages.libraries import Library

Folder = Annotated[
    Path, typer.Option("--dir", "-d", metavar="DIR", help="The plugin's source folder.")
]
FindLinks = Annotated[
    list[Path] | None,
    typer.Option("--find-links", metavar="DIR", help="Look for wheels in this folder too."),
]
IndexUrl = Annotated[
    str | None,
    typer.Option("--index-url", metavar="URL", help="The index; default: what uv is set to."),
]
_HERE = Path()


def add(
    wanted: Annotated[
        list[str], typer.Argument(metavar="DIST[==VERSION]...", help="Libraries by name.")
    ],
    folder: Folder = _HERE,
    find_links: FindLinks = None,
    index_url: IndexUrl = None,
    as_json: Json = False,
) -> None:
    """Put pure Python libraries, and what they need, into a plugin."""
    output = Output("plugin add", as_json)
    plugin, change = _changed(
        output, folder, find_links, index_url, lambda plugin, index: plugin.add(index, wanted)
    )
    plugin.apply(change)
    _answer(output, folder, change, "added" if not change.nothing else "unchanged")


def remove(
    names: Annotated[list[str], typer.Argument(metavar="DIST...", help="As they were added.")],
    folder: Folder = _HERE,
    find_links: FindLinks = None,
    index_url: IndexUrl = None,
    as_json: Json = False,
) -> None:
    """Take libraries out of a plugin, and what nothing else needs any more."""
    output = Output("plugin remove", as_json)
    plugin, change = _changed(
        output, folder, find_links, index_url, lambda plugin, index: plugin.remove(index, names)
    )
    plugin.apply(change)
    stay = change.still_needed(names)
    if stay:
        output.note(f"{', '.join(stay)} stays: another library needs it", "yellow")
    _answer(output, folder, change, "unchanged" if change.nothing else "removed")


def update(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[DIST...]", help="Default: all of them.")
    ] = None,
    folder: Folder = _HERE,
    locked: Annotated[
        bool, typer.Option("--locked", help="Fetch exactly what plugin.lock names instead.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    find_links: FindLinks = None,
    index_url: IndexUrl = None,
    as_json: Json = False,
) -> None:
    """Take the newest releases of a plugin's libraries: shows the difference and asks."""
    output = Output("plugin update", as_json)
    if locked and names:
        raise UsageError("usage.arguments", "--locked fetches all libraries: name none of them")

    def change_of(plugin: "LibraryFolder", index: "Index") -> "Change":
        return plugin.restore(index) if locked else plugin.update(index, names or [])

    plugin, change = _changed(output, folder, find_links, index_url, change_of)
    if not change.nothing and not yes:
        check_can_ask(
            as_json=as_json,
            hint=f"yoi plugin update --dir {shell_word(folder)} --yes",
            before=f"{_counted(change)}; ",
        )
        output.before(lambda: _difference(change))
        confirm("Write this?")
    plugin.apply(change)
    _answer(output, folder, change, "unchanged" if change.nothing else "updated")


def libraries(folder: Folder = _HERE, as_json: Json = False) -> None:
    """List the libraries of a plugin, with versions and licences."""
    from yoi.packages import read_package

    package = read_package(folder)
    found = package.library_list
    requested = () if package.libraries is None else package.libraries.lock.requested
    Output("plugin libraries", as_json).show(
        {
            "folder": str(folder),
            "requested": list(requested),
            "libraries": [one.to_json() for one in found],
        },
        lambda: _listed(found),
    )


def _changed(
    output: Output,
    folder: Path,
    find_links: Sequence[Path] | None,
    index_url: str | None,
    work: "Callable[[LibraryFolder, Index], Change]",
) -> "tuple[LibraryFolder, Change]":
    from yoi.libraries import Index, LibraryFolder

    plugin = LibraryFolder(folder)
    with _scratch() as scratch, output.working("resolving libraries for the sandbox's Python"):
        index = Index(scratch, tuple(one.resolve() for one in find_links or ()), index_url)
        return plugin, work(plugin, index)


@contextmanager
def _scratch() -> "Iterator[Path]":
    with tempfile.TemporaryDirectory(prefix="yoi-libraries-") as name:
        yield Path(name)


def _answer(output: Output, folder: Path, change: "Change", status: str) -> None:
    from yoi.cli.layout import lines, whole

    def render() -> "RenderableType":
        return lines(
            [
                _difference(change),
                whole(shown(f"  next: yoi plugin check {shell_word(folder)}", 2048, "cyan")),
            ]
        )

    data: dict[str, Any] = {
        "status": status,
        "folder": str(folder),
        "added": [one.to_json() for one in change.added],
        "removed": [one.to_json() for one in change.removed],
        "libraries": [one.to_json() for one in change.after],
        "archive_bytes": len(change.archive),
    }
    output.show(data, render)


def _counted(change: "Change") -> str:
    words = [f"{one.name} {one.version}" for one in change.added]
    left = {one.name for one in change.after}
    words += [f"without {one.name}" for one in change.removed if one.name not in left]
    return "the libraries would change: " + ", ".join(words[:20])


def _difference(change: "Change") -> "RenderableType":
    from yoi.cli.layout import lines, many, size

    if change.nothing:
        return shown("the libraries stay as they are")
    before = {one.name: one for one in change.before}
    rows = []
    for one in change.added:
        old = before.get(one.name)
        was = "" if old is None else f", was {old.version}"
        rows.append(shown(f"  + {one.label}{was}", style="green"))
    left = {one.name for one in change.after}
    rows += [
        shown(f"  - {one.label}", style="yellow") for one in change.removed if one.name not in left
    ]
    count = many(len(change.after), "library", "libraries")
    rows.append(shown(f"  {count}, {size(len(change.archive))} in libs.zip"))
    return lines(rows)


def _listed(found: "Iterable[Library]") -> "RenderableType":
    from yoi.cli.layout import lines, table

    rows = list(found)
    if not rows:
        hint = shown("  hint: yoi plugin add NAME", style="cyan")
        return lines([shown("this plugin has no libraries"), hint])
    grid = table("library", "version", "licence")
    for one in rows:
        grid.add_row(shown(one.name, style="bold"), shown(one.version), shown(one.licence))
    return grid

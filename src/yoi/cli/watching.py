"""Looking again and again: a live screen on a terminal, one answer a look elsewhere."""

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from yoi.cli.output import Output, console

if TYPE_CHECKING:
    from rich.console import RenderableType

T = TypeVar("T")


def _services(value: object) -> Mapping[str, Any]:
    return {"services": value}


def follow(
    look: Callable[[], T],
    render: "Callable[[T], RenderableType]",
    output: Output,
    every: float,
    count: int | None,
    document: Callable[[T], Mapping[str, Any]] = _services,
) -> None:
    """Show what `look` returns every `every` seconds, `count` times or until interrupted.

    Programs get what `document` makes of it.
    """
    with contextlib.suppress(KeyboardInterrupt):  # how a person ends it
        _look_on(look, render, output, every, count, document)


def _look_on(
    look: Callable[[], T],
    render: "Callable[[T], RenderableType]",
    output: Output,
    every: float,
    count: int | None,
    document: Callable[[T], Mapping[str, Any]],
) -> None:
    looks = itertools.count() if count is None else iter(range(count))
    screen = console()
    if output.as_json or not screen.is_terminal:
        for number in looks:
            if number:
                time.sleep(every)
            value = look()
            output.line(document(value), lambda value=value: render(value))  # type: ignore[misc]
        return
    from rich.live import Live

    with Live(console=screen, auto_refresh=False, screen=False) as live:
        for _ in looks:
            live.update(render(look()), refresh=True)
            time.sleep(every)

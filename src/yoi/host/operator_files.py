"""The files by which an operator changes what a running host does."""

import asyncio
from functools import partial
from pathlib import Path

from yoi.decisions.port import Decisions
from yoi.packages import Store
from yoi.runtime.workspace import operator_file
from yoi.serving.watching import Watch


def watch_operator_files(workspace: Path, decisions: Decisions, stop: asyncio.Event) -> Watch:
    """Return a watch of what an operator changes: yoi.toml, the store, the secrets, decisions.

    A grant that is taken away in an editor must not stay in force until the next restart, nor one
    whose decision is gone.
    """
    ours = (operator_file(workspace), Store.project(workspace).path, secrets_file(workspace))
    return Watch(
        workspace / ".yoi",
        partial(_below, ours),
        stop,
        (operator_file(workspace),),
        elsewhere=partial(decisions.signature, workspace),
        # The journals beside them are written with every event of a durable service.
        told_of=ours,
    )


def watch_secrets(workspace: Path, stop: asyncio.Event) -> Watch:
    """Return a watch of the secret store alone."""
    ours = (secrets_file(workspace),)
    return Watch(workspace / ".yoi", partial(_below, ours), stop, told_of=ours)


def secrets_file(workspace: Path) -> Path:
    """Return where the secrets of `workspace` are kept."""
    return workspace / ".yoi" / "secrets.enc"


def _below(ours: tuple[Path, ...], path: Path) -> bool:
    return any(path.is_relative_to(one) for one in ours)

"""Which secrets the store of a workspace lacks, asked as a serving host asks: without a person."""

import asyncio
from collections.abc import Iterable
from pathlib import Path


def missing_secrets(workspace: Path, names: Iterable[str]) -> list[str]:
    """Return those of `names` that are not in the store. Raises SecretError where it stays shut."""
    from yoi.decisions.port import AccountDecisions
    from yoi.serving.secrets import WorkspaceSecrets

    wanted = sorted(set(names))
    if not wanted:
        return []
    store = WorkspaceSecrets(workspace, AccountDecisions())
    asyncio.run(store.refresh())
    return [name for name in wanted if store.secret(name) is None]

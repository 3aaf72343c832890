"""The operator's secrets, held for the services of one host."""

import asyncio
from pathlib import Path

from yoi.decisions.port import Decisions
from yoi.decisions.secrets import secret_settings
from yoi.errors import SecretError
from yoi.secrets import HeldSecrets, Secret, open_store


class WorkspaceSecrets:
    """The secrets of a workspace as of the last `refresh`; the store is opened by the first.

    Until then, and while the store cannot be opened, every secret is missing, and says why.
    """

    def __init__(self, workspace: Path, decisions: Decisions | None = None) -> None:
        """`decisions` about the [secrets] table are the account's unless others are given."""
        self._workspace = workspace
        self._decisions = decisions
        self._held: HeldSecrets | None = None
        self._fault: SecretError | None = None
        self._seen: dict[str, int] = {}

    async def refresh(self) -> frozenset[str]:
        """Read the store again and return the names whose values changed since the last time.

        Raises SecretError when it cannot be opened.
        """
        try:
            changed = await asyncio.to_thread(self._refresh)
        except SecretError as exc:
            self._fault = exc
            raise
        self._fault = None
        return changed

    def get(self, name: str) -> Secret:
        """Return the secret `name`; SecretError `secret.missing`, or why the store is closed."""
        if self._fault is not None or self._held is None:
            raise self._fault or SecretError("secret.missing", "the secret store is not open yet")
        return self._held.get(name)

    def secret(self, name: str) -> Secret | None:
        """Return the secret `name`, or None when there is none."""
        return None if self._held is None else self._held.secret(name)

    async def replace(self, name: str, value: str) -> None:
        """Store `value` under `name`, durably, unless another process changed it meanwhile."""
        held = self._held
        if held is None:
            self.get(name)
            return
        await asyncio.to_thread(held.rotate, name, value, held.version(name))

    def _refresh(self) -> frozenset[str]:
        if self._held is None:
            store = open_store(
                self._workspace, secret_settings(self._workspace, self._decisions), _NobodyToAsk()
            )
            held = HeldSecrets(store)
            held.refresh()
            self._held = held
        else:
            self._held.refresh()
        before, self._seen = self._seen, self._held.versions()
        both = before.keys() | self._seen.keys()
        return frozenset(name for name in both if before.get(name) != self._seen.get(name))


class _NobodyToAsk:
    """The `Prompt` of a process that runs by itself."""

    def passphrase(self) -> str:
        raise SecretError(
            "secret.settings",
            "the secret store opens with a passphrase, and a serving host has nobody to ask",
            hint='use [secrets] unlock = "key-file" in yoi.toml for hosts that start by themselves',
        )

    new_passphrase = passphrase

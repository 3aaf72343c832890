"""The secrets of a host that goes by a publication: the published ones, rotated, and its own."""

from collections.abc import Callable, Mapping
from pathlib import Path

from yoi.cluster.rotated import RotatedSecrets
from yoi.decisions.port import Decisions
from yoi.errors import JournalError, SecretError
from yoi.secrets import Secret
from yoi.serving.secrets import WorkspaceSecrets


class DeploymentSecrets(WorkspaceSecrets):
    """A published secret goes before one of the same name in the machine's own store."""

    def __init__(
        self,
        workspace: Path,
        decisions: Decisions,
        published: Callable[[], Mapping[str, str]],
        rotated: RotatedSecrets,
    ) -> None:
        super().__init__(workspace, decisions)
        self._published, self._rotated = published, rotated
        self._values: dict[str, Secret] = {}

    async def refresh(self) -> frozenset[str]:
        """Read both again, and return the names whose values changed since the last time.

        Raises SecretError where either cannot be read.
        """
        try:
            now = await self._rotated.current(dict(self._published()))
        except JournalError as exc:
            raise SecretError("secret.io", f"rotated secrets: {exc.message}") from None
        before, self._values = self._values, {name: Secret(name, one) for name, one in now.items()}
        changed = {
            name
            for name in before.keys() | self._values.keys()
            if name not in before
            or name not in self._values
            or before[name].reveal() != self._values[name].reveal()
        }
        return await super().refresh() | changed

    async def moved(self) -> bool:
        """Return whether another machine has rotated a secret; False where that is not known."""
        try:
            return await self._rotated.moved()
        except JournalError:
            return False

    def get(self, name: str) -> Secret:
        """Return the secret `name`. Raises SecretError as `WorkspaceSecrets.get`."""
        found = self._values.get(name)
        return super().get(name) if found is None else found

    def secret(self, name: str) -> Secret | None:
        """Return the secret `name`, or None when there is none."""
        found = self._values.get(name)
        return super().secret(name) if found is None else found

    async def replace(self, name: str, value: str) -> None:
        """Commit `value` under `name`, for all machines where it was published.

        Raises SecretError, and JournalError where it could not be committed.
        """
        found, published = self._values.get(name), self._published().get(name)
        if found is None or published is None:
            await super().replace(name, value)
            return
        await self._rotated.replace(name, published, found.reveal(), value)
        self._values[name] = Secret(name, value)

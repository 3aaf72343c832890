"""`HeldSecrets`: the store's values in memory, for the event loop, which must never wait for it."""

from yoi.secrets.store import SecretStore, StoredSecret, conflict, missing
from yoi.types import Secret


class HeldSecrets:
    """The secrets of a store as of the last `refresh`. `get`, `secret` and `version` never wait.

    `refresh` and `rotate` ask the store and may wait for a disk or a person: call them from a
    worker thread. They replace what is held in one step, so readers need no lock.
    """

    def __init__(self, store: SecretStore) -> None:
        self._store = store
        self._held: dict[str, StoredSecret] = {}

    def __repr__(self) -> str:
        return f"<HeldSecrets of {self._store!r}: {len(self._held)}>"

    def get(self, name: str) -> Secret:
        """Return the secret `name`; raises SecretError (`secret.missing`)."""
        return self._stored(name).secret

    def secret(self, name: str) -> Secret | None:
        """Return the secret `name`, or None when there is none."""
        found = self._held.get(name)
        return None if found is None else found.secret

    def version(self, name: str) -> int:
        """Return the version of `name`, for `rotate`; raises SecretError (`secret.missing`)."""
        return self._stored(name).version

    def versions(self) -> dict[str, int]:
        """Return the version of each secret, by name."""
        return {name: one.version for name, one in self._held.items()}

    def refresh(self) -> frozenset[str]:
        """Read the store again and return the names whose values are new, changed or gone."""
        before, self._held = self._held, self._store.read_all()
        names = before.keys() | self._held.keys()
        return frozenset(
            name
            for name in names
            if (name in before) != (name in self._held)
            or before[name].version != self._held[name].version
        )

    def rotate(self, name: str, value: str, expected_version: int) -> None:
        """Store a credential that an answer brought, and hold it.

        Raises SecretError (`secret.conflict`) when the secret was changed meanwhile, by a person or
        another rotation; the newer value is held then.
        """
        held = self._held.get(name)
        if held is not None and held.version != expected_version:
            raise conflict(name, held.version, expected_version)
        try:
            self._store.replace(name, value, expected_version)
        finally:
            self.refresh()

    def _stored(self, name: str) -> StoredSecret:
        found = self._held.get(name)
        if found is None:
            raise missing(name)
        return found

"""`SecretStore`: what every store of secrets does. All of it blocks: call it from a thread."""

from dataclasses import dataclass
from typing import Protocol

from yoi.display import printable
from yoi.errors import SecretError
from yoi.limits import LIMITS, Limits
from yoi.toml import SAFE_ID_WORDS, is_safe_id
from yoi.types import Secret


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """What may be shown of one secret."""

    name: str
    version: int
    """Grows with every change of the store, and is never used again."""
    changed_at: str
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One secret with what `replace` needs to know."""

    secret: Secret
    version: int


class SecretStore(Protocol):
    """Named values, kept where this account alone can read them.

    Errors are `SecretError`: `secret.missing`, `secret.name`, `secret.malformed`, `secret.bounds`,
    `secret.conflict`, and what opening or writing may meet (`secret.wrong_key`, `secret.tampered`,
    `secret.key_file`, `secret.keyring`, `secret.busy`, `secret.io`).
    """

    def entries(self) -> tuple[SecretEntry, ...]:
        """Return what is stored, by name, without the values."""
        ...

    def read(self, name: str) -> StoredSecret:
        """Return the secret `name`."""
        ...

    def read_all(self) -> dict[str, StoredSecret]:
        """Return every secret, by name."""
        ...

    def set(self, name: str, value: str) -> int:
        """Store `value`, whatever was there, and return its version."""
        ...

    def replace(self, name: str, value: str, expected_version: int) -> int:
        """Store `value` if `name` still has `expected_version`, and return its new version."""
        ...

    def remove(self, name: str) -> None:
        """Forget the secret `name`."""
        ...


def check_name(name: str) -> str:
    """Return `name` if it is a safe id; raises SecretError (`secret.name`)."""
    if not is_safe_id(name):
        raise SecretError(
            "secret.name",
            f"a secret's name must be {SAFE_ID_WORDS}; not {printable(name, 60)!r}",
        )
    return name


def check_value(name: str, value: str, limits: Limits = LIMITS) -> str:
    """Return `value` if a store takes it; the errors never show any of it."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise SecretError("secret.malformed", f"the value of {name} is not text") from None
    if not value.strip():
        raise SecretError("secret.malformed", f"the value of {name} is empty")
    if "\0" in value:
        raise SecretError("secret.malformed", f"the value of {name} has a null character")
    if size > limits.secret_value_bytes:
        raise SecretError(
            "secret.bounds",
            f"the value of {name} has {size} bytes; at most {limits.secret_value_bytes} are kept",
        )
    return value


def missing(name: str) -> SecretError:
    """Return the error for a secret that is not there."""
    shown = name if is_safe_id(name) else "NAME"
    return SecretError(
        "secret.missing",
        f"the store holds no secret {printable(name, 200)}",
        hint=f"yoi secret set {shown}",
        name=printable(name, 200),
    )


def conflict(name: str, found: int | None, expected: int) -> SecretError:
    """Return the error for a secret that changed since it was read."""
    now = "gone" if found is None else f"version {found}"
    return SecretError(
        "secret.conflict", f"{name} was version {expected} when it was read, and is {now} now"
    )


def full(limits: Limits) -> SecretError:
    """Return the error for a store at its bound."""
    return SecretError(
        "secret.bounds",
        f"the store has {limits.secrets} secrets, and takes no more",
        hint="see them with: yoi secret list",
    )

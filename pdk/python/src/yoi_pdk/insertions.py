"""Insertions: places of a message that the host fills in with values the plugin never sees.

    Request("api", "POST", "/api/apps.connections.open",
            insert=[insert_secret("/headers/authorization", "app", prefix="Bearer ")])

`at` is a JSON pointer (RFC 6901) into the message (of a message of parts: `/1/token` is the place
`token` of the second part, `/1` that whole part, where it is None), or into `{path, headers, query,
basic, body}` of a request or handshake: `/path/0` is the first segment
of the path. The manifest must ask for that value at that place, and the operator must grant it.
There are no placeholders: nothing is ever searched for in text.
"""

from typing import Any

from yoi_pdk.limits import ID_BYTES, POINTER_CHARS

_SESSION = "session"


class Insertion:
    """One place and what goes there. Made by the functions below."""

    __slots__ = ("at", "kind", "name", "prefix")

    def __init__(self, at: str, kind: str, name: str, prefix: str | None) -> None:
        self.at = pointer("at", at)
        self.kind = kind
        if not isinstance(name, str) or not 1 <= len(name.encode()) <= ID_BYTES:
            raise TypeError(f"{kind}: the name must be a str of 1 to {ID_BYTES} bytes")
        self.name = name
        if prefix is not None and not isinstance(prefix, str):
            raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
        self.prefix = prefix

    def wire(self) -> dict[str, Any]:
        """Return `{"at", secret | captured | last | counter, "prefix"?}`, as the host reads it."""
        made = {"at": self.at, self.kind: self.name}
        if self.prefix is not None:
            made["prefix"] = self.prefix
        return made

    def __eq__(self, other: object) -> bool:
        """Return whether `other` puts the same at the same place."""
        return isinstance(other, Insertion) and other.wire() == self.wire()

    def __hash__(self) -> int:
        """Return a hash that agrees with `==`."""
        return hash((self.at, self.kind, self.name, self.prefix))

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        prefix = "" if self.prefix is None else f", prefix={self.prefix!r}"
        if self.kind == "counter":
            return f"insert_counter({self.at!r}{prefix})"
        return f"insert_{self.kind}({self.at!r}, {self.name!r}{prefix})"


def insert_secret(at: str, name: str, *, prefix: str | None = None) -> Insertion:
    """Return the insertion of the secret that the manifest calls `name`.

    `prefix` (such as "Bearer ") is put in front of a secret that is text.
    """
    return Insertion(at, "secret", name, prefix)


def insert_captured(at: str, handle: str) -> Insertion:
    """Return the insertion of a value taken out of an answer: a handle of `ResponseEvent`."""
    return Insertion(at, "captured", handle, None)


def insert_last(at: str, name: str) -> Insertion:
    """Return the insertion of the session's latest value of `last = [{ name = ... }]`, or null."""
    return Insertion(at, "last", name, None)


def insert_counter(at: str, *, prefix: str | None = None) -> Insertion:
    """Return the insertion of the session's next number: 1, then 2, and so on.

    Each session has one counter, which all its messages share, those of `Heartbeat` too; a new
    session begins again at 1. With a `prefix` it is text: `q1` with "q", `1` with "".
    """
    return Insertion(at, "counter", _SESSION, prefix)


def pointer(what: str, value: Any) -> str:
    """Return `value` if it has the form of a JSON pointer to a place inside a document."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not value.startswith("/") or len(value) > POINTER_CHARS:
        raise ValueError(f'{what} must be a JSON pointer such as "/d/token", not {value!r:.60}')
    return value

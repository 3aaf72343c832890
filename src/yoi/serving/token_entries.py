"""`TokenEntry`: what is kept of one token, and how the file of tokens says it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from yoi.display import printable
from yoi.errors import TokenError
from yoi.limits import LIMITS
from yoi.serving.principals import Principal, PrincipalKind, Redaction, SubjectPattern
from yoi.toml import Choice, Key, ListOf, Parsed, Rows, SafeId, TableSpec, Text
from yoi.types import rfc3339

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEAD = "# Written by `yoi token`. A token itself was shown once and is kept nowhere.\n"


class TokenKind(StrEnum):
    """Whose token it is."""

    OBSERVER = "observer"
    """A person's or a script's, at a backend."""
    UPSTREAM = "upstream"
    """A backend's, at a runtime."""
    METRICS = "metrics"
    """A reader's of `/metrics`; it watches nothing."""


_PRINCIPALS = {
    TokenKind.OBSERVER: PrincipalKind.TOKEN,
    TokenKind.UPSTREAM: PrincipalKind.UPSTREAM,
    TokenKind.METRICS: PrincipalKind.METRICS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEntry:
    """What is kept of one token."""

    name: str
    kind: TokenKind
    sha256: str
    observe: tuple[SubjectPattern, ...]
    redact: frozenset[Redaction] = frozenset()
    commands: frozenset[str] = frozenset()
    created_at: datetime
    expires_at: datetime | None = None

    @property
    def credential(self) -> str:
        """Return an id of this very token: a later one of the same name has another."""
        return self.sha256[:16]

    @property
    def principal(self) -> Principal:
        """Return whom the token stands for."""
        return Principal(
            name=self.name,
            kind=_PRINCIPALS[self.kind],
            observe=self.observe,
            redact=self.redact,
            commands=self.commands,
            expires_at_ms=None if self.expires_at is None else _ms(self.expires_at),
            credential=self.credential,
        )


def parse_redaction(text: str) -> Redaction:
    """Return what `text` says to empty. Raises TokenError (`token.value`)."""
    try:
        return Redaction(text.replace("-", "_"))
    except ValueError:
        raise TokenError(
            "token.value",
            f"{printable(text, 60)!r} cannot be redacted",
            hint=f"one of: {', '.join(Redaction)}",
        ) from None


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError("must be 64 lowercase hex digits")
    return text


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError('must be a time such as "2026-01-31T12:00:00Z"')
    return found.astimezone(UTC)


TOKEN = TableSpec(
    (
        Key("name", SafeId(), "unique", required=True),
        Key("kind", Parsed(Choice(TokenKind), TokenKind), "whose token it is", required=True),
        Key("sha256", Parsed(Text(), _sha256), "the hash of the token", required=True),
        Key(
            "observe",
            ListOf(Parsed(Text(3 * LIMITS.name_bytes), SubjectPattern.parse, "pattern")),
            "what it may watch",
            default=(),
        ),
        Key("redact", ListOf(Parsed(Text(), parse_redaction)), "what is emptied", default=()),
        Key("commands", ListOf(Text()), "what it may ask for", default=()),
        Key("created_at", Parsed(Text(), _moment, "time"), "when it was made", required=True),
        Key("expires_at", Parsed(Text(), _moment, "time"), "when it ends"),
    ),
    lambda row: TokenEntry(
        name=row["name"],
        kind=row["kind"],
        sha256=row["sha256"],
        observe=row["observe"],
        redact=frozenset(row["redact"]),
        commands=frozenset(row["commands"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    ),
    about="A token; `yoi token` writes it.",
)
TOKENS_FILE = TableSpec[tuple[TokenEntry, ...]](
    (Key("tokens", Rows(TOKEN, LIMITS.tokens, unique="name"), "the tokens", default=()),),
    lambda row: tuple(row["tokens"]),
)


def written(entries: Mapping[str, TokenEntry]) -> str:
    """Return the file that holds `entries`."""
    import tomlkit

    rows: list[dict[str, Any]] = []
    for _, entry in sorted(entries.items()):
        row: dict[str, Any] = {
            "name": entry.name,
            "kind": str(entry.kind),
            "sha256": entry.sha256,
            "observe": [str(pattern) for pattern in entry.observe],
            "redact": [str(one) for one in sorted(entry.redact)],
            "commands": sorted(entry.commands),
            "created_at": rfc3339(entry.created_at),
        }
        if entry.expires_at is not None:
            row["expires_at"] = rfc3339(entry.expires_at)
        rows.append(row)
    return _HEAD + ("\n" + tomlkit.dumps({"tokens": rows}) if rows else "")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)

"""`TokenStore`: the named tokens of observers and backends. Only their hashes are on disk."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from yoi.display import printable
from yoi.errors import TokenError
from yoi.limits import LIMITS, Limits
from yoi.permissions import is_safe_id
from yoi.serving.principals import (
    EVERYTHING,
    Principal,
    Redaction,
    SubjectPattern,
)
from yoi.serving.private import PrivateFile, Stamp
from yoi.serving.token_entries import TOKENS_FILE, TokenEntry, TokenKind, written
from yoi.toml import (
    SAFE_ID_WORDS,
    Bad,
    Fault,
    Faults,
    TomlFault,
    joined,
    parse_toml,
)
from yoi.types import Clock, Secret, SystemClock

PREFIX = "yoi_"
"""By this a leaked token is recognised in a log or a repository."""
FILE_NAME = "tokens.toml"

_RANDOM_BYTES = 32
_LENGTH = len(PREFIX) + 43


class TokenStore:
    """The tokens in the file at `path`, in memory as of the last `reload`.

    `verify`, `find` and `entries` never wait. While the file cannot be read, no new client is let
    in; `holds` still answers from what was read last, so that a slip of an editor ends no stream.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
        owner: str | None = None,
    ) -> None:
        """`owner` is the id of the workspace that the file must carry; None accepts any."""
        self._file = PrivateFile(path, limits.tokens_file_bytes, _file_fault, limits, owner)
        self._clock = clock or SystemClock()
        self._limits = limits
        self._entries: dict[str, TokenEntry] = {}
        self._stamp: Stamp | None = None
        self.revision = 0
        """Grows whenever other tokens are taken in."""
        self.fault: TokenError | None = None
        """Why the file cannot be used, since when the last `reload` failed; None when it can."""

    def __repr__(self) -> str:
        return f"<TokenStore {self._file.path}: {len(self._entries)}>"

    def entries(self) -> tuple[TokenEntry, ...]:
        """Return the tokens, by name."""
        return tuple(entry for _, entry in sorted(self._entries.items()))

    def reload(self) -> bool:
        """Read the file again if it has changed; return whether it had. Raises TokenError.

        One system call where nothing changed. An absent file holds no tokens.
        """
        try:
            # Before reading: a change in between is seen by the next call.
            stamp = self._file.stamp()
            if stamp == self._stamp and self.fault is None:
                return False
            self._take(self._read(), stamp)
        except TokenError as exc:
            self.fault = exc
            raise
        return True

    def verify(self, presented: str, now_ms: int) -> Principal | None:
        """Return whose token `presented` is; None for unknown, revoked and expired alike."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()
        found = None
        # All of them, always: the time it takes says nothing about any.
        for entry in self._entries.values():
            if hmac.compare_digest(entry.sha256, digest):
                found = entry
        if len(presented) != _LENGTH or found is None or self.fault is not None:
            return None
        principal = found.principal
        return None if principal.expired(now_ms) else principal

    def find(self, name: str, credential: str, now_ms: int) -> Principal | None:
        """Return whom that very token stands for now, or None when it is revoked or expired."""
        return None if self.fault is not None else self._current(name, credential, now_ms)

    def holds(self, principal: Principal, now_ms: int) -> bool:
        """Return whether the token that `principal` came with is still good, and says the same."""
        current = self._current(principal.name, principal.credential, now_ms)
        if current is None:
            return False
        return current == replace(principal, expires_at_ms=current.expires_at_ms)

    def create(
        self,
        name: str,
        *,
        kind: TokenKind = TokenKind.OBSERVER,
        observe: Iterable[SubjectPattern] = (EVERYTHING,),
        redact: Iterable[Redaction] = (),
        commands: Iterable[str] = (),
        expires_at: datetime | None = None,
    ) -> tuple[TokenEntry, Secret]:
        """Make a token and return what is kept of it, and the token, which cannot be shown again.

        Raises TokenError: `token.name`, `token.exists`, `token.value`, `token.bounds`,
        `token.file`.
        """
        if not is_safe_id(name):
            raise TokenError(
                "token.name",
                f"a token's name must be {SAFE_ID_WORDS}; not {printable(name, 60)!r}",
            )
        now = _whole_ms(self._clock.wall())
        if expires_at is not None and expires_at <= now:
            raise TokenError("token.value", "the token would be expired already")
        plain = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()[:43]
        entry = TokenEntry(
            name=name,
            kind=kind,
            sha256=hashlib.sha256(plain.encode()).hexdigest(),
            observe=tuple(dict.fromkeys(observe)),
            redact=frozenset(redact),
            commands=frozenset(commands),
            created_at=now,
            expires_at=None if expires_at is None else _whole_ms(expires_at),
        )
        self._check(entry)
        with self._file.locked():
            entries = self._read()
            if name in entries:
                raise TokenError(
                    "token.exists",
                    f"there is a token called {name} already",
                    hint=f"yoi token revoke {name}",
                )
            self._write({**entries, name: entry})
        return entry, Secret(f"token {name}", plain)

    def revoke(self, name: str) -> TokenEntry:
        """Forget the token `name` and return what was kept of it. Raises `token.missing`."""
        with self._file.locked():
            entries = self._read()
            entry = entries.pop(name, None)
            if entry is None:
                raise TokenError(
                    "token.missing",
                    f"there is no token called {printable(name, 200)}",
                    hint="yoi token list",
                )
            self._write(entries)
        return entry

    def _current(self, name: str, credential: str, now_ms: int) -> Principal | None:
        entry = self._entries.get(name)
        if entry is None or entry.credential != credential:
            return None
        principal = entry.principal
        return None if principal.expired(now_ms) else principal

    def _check(self, entry: TokenEntry) -> None:
        limits = self._limits
        for what, count, most in (
            ("patterns to observe", len(entry.observe), limits.token_patterns),
            ("commands", len(entry.commands), limits.token_commands),
        ):
            if count > most:
                raise TokenError("token.bounds", f"a token has at most {most} {what}")
        if entry.kind is TokenKind.METRICS:
            if entry.observe or entry.redact or entry.commands:
                raise TokenError("token.value", "a token for metrics watches nothing")
        elif not entry.observe:
            raise TokenError("token.value", "a token that may observe nothing is of no use")
        if entry.kind is TokenKind.UPSTREAM and (entry.redact or entry.commands):
            raise TokenError(
                "token.value",
                "a runtime empties nothing and takes no commands: redact at the backend",
            )
        for command in entry.commands:
            if not is_safe_id(command):
                raise TokenError("token.value", f"{printable(command, 60)!r} is not a command")

    def _read(self) -> dict[str, TokenEntry]:
        data = self._file.read()
        return {} if data is None else self._parse(data)

    def _parse(self, data: bytes) -> dict[str, TokenEntry]:
        try:
            document = parse_toml(data)
        except TomlFault as exc:
            raise _file_fault(f"{FILE_NAME}: {exc.message}", None) from None
        faults = Faults()
        rows = TOKENS_FILE.read(document, "", faults)
        if isinstance(rows, Bad):
            raise joined([_fault(fault) for fault in faults], faults.count)
        if len(rows) > self._limits.tokens:
            raise _fault(Fault("too_large", "tokens", f"has more than {self._limits.tokens}"))
        entries: dict[str, TokenEntry] = {}
        for index, entry in enumerate(rows):
            try:
                self._check(entry)
            except TokenError as exc:
                raise _fault(Fault("value", f"tokens[{index}].name", exc.message)) from None
            if any(entry.sha256 == other.sha256 for other in entries.values()):
                at = f"tokens[{index}].sha256"
                raise _fault(Fault("duplicate", at, "is that of another token too"))
            entries[entry.name] = entry
        return entries

    def _write(self, entries: dict[str, TokenEntry]) -> None:
        if len(entries) > self._limits.tokens:
            raise TokenError(
                "token.bounds",
                f"there are {self._limits.tokens} tokens, and there may be no more",
                hint="see which have expired with: yoi token list",
            )
        data = written(entries).encode()
        if len(data) > self._limits.tokens_file_bytes:
            raise TokenError(
                "token.bounds", f"{FILE_NAME} would be over {self._limits.tokens_file_bytes} bytes"
            )
        self._file.replace(data)
        self._take(entries, self._file.stamp())

    def _take(self, entries: dict[str, TokenEntry], stamp: Stamp | None) -> None:
        self._entries, self._stamp, self.fault = entries, stamp, None
        self.revision += 1


def tokens_file(workspace: Path) -> Path:
    """Return where the tokens of `workspace` are kept."""
    return workspace / ".yoi" / FILE_NAME


def _fault(fault: Fault) -> TokenError:
    where = f"{FILE_NAME}: {fault.at}: " if fault.at else f"{FILE_NAME}: "
    return _file_fault(where + fault.message, fault.hint)


def _file_fault(message: str, hint: str | None) -> TokenError:
    return TokenError("token.file", message, hint=hint)


def _whole_ms(moment: datetime) -> datetime:
    """Return `moment` as precise as the file can say it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

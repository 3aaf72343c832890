"""`NonceStore`: numbers for signatures that only grow, also across restarts and clocks set back.

What was used is kept in two files, one of the workspace and one of the account, so that the loss of
one is noticed: then no number is given out until a person says where to begin.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from yoi.display import shell_word
from yoi.errors import SecretError, SignatureError
from yoi.folders import hint_of, make_folder
from yoi.limits import LIMITS, Limits
from yoi.secrets.files import locked, read_private, write_private

_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000}
_MOST = (1 << 53) - 1
_FILE_BYTES = 256 * 1024
_LOCK_MS = 100


class NonceStore:
    """See the module docstring. Numbers are kept ahead: one write serves many of them."""

    def __init__(self, own: Path, witness: Path, limits: Limits = LIMITS) -> None:
        """`own` and `witness` are the two files; each folder is made on first use, mode 0700."""
        self._files = (own, witness)
        self._limits = limits
        # On the event loop: another process holds the lock for a few milliseconds only.
        self._waits = replace(limits, secret_lock_ms=_LOCK_MS)
        self._last: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def next(self, name: str, unit: str, now_ms: int) -> int:
        """Return a number larger than every one that was returned for the key `name` in `unit`.

        It is the time `now_ms` in `unit` where that is larger. Raises SignatureError
        (`signature.nonce`) where the numbers used before are not known, or the new one cannot be
        kept.
        """
        entry = f"{name}.{unit}"
        number = max(self._last.get(entry, 0) + 1, now_ms * _PER_S[unit] // 1000)
        if number > self._kept.get(entry, 0):
            number = self._keep(entry, number, self._limits.nonce_reserve_ms * _PER_S[unit] // 1000)
        self._last[entry] = number
        return number

    def begin(self, name: str, beyond: int) -> None:
        """Give out only numbers over `beyond` for the key `name` from now on, in every unit.

        A person gives it where the numbers used before are not known. Raises SignatureError.
        """
        if not 0 <= beyond < _MOST:
            raise SignatureError("signature.nonce", f"a number must be from 0 to {_MOST - 1}")
        with self._held():
            contents = [self._read(path) for path in self._files]
            self._write(contents, {f"{name}.{unit}": beyond for unit in _PER_S})

    def used(self) -> Mapping[str, tuple[int | None, int | None]]:
        """Return the bounds of both files by `NAME.UNIT`; None where a file does not know it."""
        with self._held():
            own, witness = (self._read(path) or {} for path in self._files)
        return {entry: (own.get(entry), witness.get(entry)) for entry in sorted(own | witness)}

    def _keep(self, entry: str, number: int, ahead: int) -> int:
        """Return `number`, or a larger one, after having written that it and more may be used."""
        with self._held():
            contents = [self._read(path) for path in self._files]
            known = [None if content is None else content.get(entry) for content in contents]
            name = entry.rpartition(".")[0]
            if (known[0] is None) != (known[1] is None):
                gone = self._files[known.index(None)]
                raise SignatureError(
                    "signature.nonce",
                    f"{gone} has lost the numbers that the key {name} was used with",
                    hint=f"yoi secret nonces {shell_word(name)} --beyond N, "
                    "N being one that the server took",
                )
            # Another process may have kept some for itself: those are left to it.
            number = max([number, *(one + 1 for one in known if one is not None)])
            if number + ahead > _MOST:
                raise SignatureError("signature.nonce", f"the numbers of {name} have reached 2^53")
            self._write(contents, {entry: number + ahead})
        self._kept[entry] = number + ahead
        return number

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold both files against other processes."""
        try:
            with locked(self._files[1].with_suffix(".lock"), self._waits):
                make_folder(self._files[0].parent, 0o700)
                yield
        except SecretError as exc:
            raise SignatureError("signature.nonce", exc.message, hint=exc.hint) from None
        except OSError as exc:
            raise SignatureError(
                "signature.nonce", f"{self._files[0]}: {exc.strerror}", hint=hint_of(exc)
            ) from None

    def _read(self, path: Path) -> dict[str, int] | None:
        """Return what `path` holds; None where it is missing."""
        data = read_private(path, _FILE_BYTES)
        if data is None:
            return None
        try:
            content = json.loads(data)
            if all(type(kept) is int and 0 <= kept <= _MOST for kept in content.values()):
                return dict(content)
        except (ValueError, AttributeError, RecursionError):
            pass
        raise SignatureError(
            "signature.nonce",
            f"{path} is damaged: which numbers were used is not known",
            hint=f"move {path} away, then: yoi secret nonces NAME --beyond N",
        )

    def _write(
        self, contents: Iterable[Mapping[str, int] | None], changes: Mapping[str, int]
    ) -> None:
        """Write `changes` into both files; what only one of them has of other keys stays so."""
        for path, content in zip(self._files, contents, strict=True):
            data = json.dumps({**(content or {}), **changes}, sort_keys=True).encode()
            write_private(path, data)

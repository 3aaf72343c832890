"""Cursors: opaque places in a stream, bound to it and signed, at most 256 characters.

    version 1 | key id 4 | binding 12 | epoch 8 | sequence 8 | MAC 16   in URL-safe base64

The binding is a digest of hop, subject and projection, so names of any length fit and none is told.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from yoi.protocol.observation import Hop, Subject

CURSOR_CHARS = 256
"""The longest cursor this or a later version may make; longer input is not looked at."""
KEY_ID_BYTES = 4
KEY_BYTES = 32
EPOCH_BYTES = 8

_VERSION = 1
_HEAD = struct.Struct(">B4s12s8sQ")
_MAC_BYTES = 16
_SIZE = _HEAD.size + _MAC_BYTES


class CursorFault(StrEnum):
    """Why a cursor is no place in a stream; each is a diagnostic `cursor_NAME`."""

    MALFORMED = "malformed"
    KEY_UNKNOWN = "key_unknown"
    FOREIGN = "foreign"
    EPOCH_CHANGED = "epoch_changed"
    FUTURE = "future"
    EXPIRED = "expired"


class Position(NamedTuple):
    """What a cursor says once it is known to be genuine and of the stream in question."""

    epoch: bytes
    seq: int


class CursorKeys:
    """The keys cursors are signed with: one to sign, the others only to check.

    `keys` maps ids of 4 bytes to keys of 32; `current` is one of the ids. ValueError otherwise.
    """

    def __init__(self, current: bytes, keys: Mapping[bytes, bytes]) -> None:
        if current not in keys or any(
            len(key_id) != KEY_ID_BYTES or len(key) != KEY_BYTES for key_id, key in keys.items()
        ):
            raise ValueError("not a set of cursor keys")
        self.current = current
        self._keys = dict(keys)

    def key(self, key_id: bytes) -> bytes | None:
        """Return the key, or None when it is unknown."""
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        return f"<CursorKeys {len(self._keys)}>"


class CursorCodec:
    """Makes and reads the cursors of one stream under one projection."""

    def __init__(self, keys: CursorKeys, hop: Hop, subject: Subject, projection: str) -> None:
        self._keys = keys
        self._binding = _binding(hop, subject.kind, subject.runtime_id, subject.name, projection)
        key = keys.key(keys.current)
        assert key is not None
        self._key = key

    def encode(self, epoch: bytes, seq: int) -> str:
        """Return the cursor of the place after event `seq` of `epoch`."""
        head = _HEAD.pack(_VERSION, self._keys.current, self._binding, epoch, seq)
        mac = hmac.digest(self._key, head, "sha256")[:_MAC_BYTES]
        return base64.urlsafe_b64encode(head + mac).rstrip(b"=").decode()

    def decode(self, text: str) -> Position | CursorFault:
        """Return the place, or MALFORMED, KEY_UNKNOWN or FOREIGN."""
        raw = _unpacked(text)
        if raw is None:
            return CursorFault.MALFORMED
        version, key_id, binding, epoch, seq = _HEAD.unpack_from(raw)
        key = self._keys.key(key_id)
        if version != _VERSION or key is None:
            return CursorFault.KEY_UNKNOWN
        mac = hmac.digest(key, raw[: _HEAD.size], "sha256")[:_MAC_BYTES]
        if not hmac.compare_digest(mac, raw[_HEAD.size :]):
            return CursorFault.MALFORMED
        if binding != self._binding:
            return CursorFault.FOREIGN
        return Position(epoch, seq)


def _binding(*names: str) -> bytes:
    """Return a digest of `names`, each with its length: no two lists run together to the same."""
    digest = hashlib.sha256()
    for name in names:
        data = name.encode(errors="surrogatepass")
        digest.update(struct.pack(">Q", len(data)) + data)
    return digest.digest()[:12]


def _unpacked(text: str) -> bytes | None:
    if len(text) > CURSOR_CHARS or not text.isascii():
        return None
    padded = text + "=" * (-len(text) % 4)
    try:
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # One spelling only: two texts for one place would defeat de-duplication by cursor.
    if len(raw) != _SIZE or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        return None
    return raw

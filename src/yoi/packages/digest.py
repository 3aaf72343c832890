"""The package digest: one hash over names and contents, whatever the container looked like."""

import hashlib
import re
from typing import TYPE_CHECKING

from yoi.types import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOMAIN = b"yoi-plugin-package-digest-v1\0"
_SHAPE = re.compile(r"sha256:[0-9a-f]{64}")


def package_digest(files: "Mapping[str, bytes]") -> Digest:
    """Return `sha256:<hex>` over `files` (path to content), independent of order and container.

    Paths are sorted by their UTF-8 bytes; each contributes its path, its length and the hash of its
    content, so no two different file sets share an input (reference: ancestor-behaviour.md 2).
    """
    whole = hashlib.sha256(_DOMAIN)
    for path, content in sorted((path.encode(), content) for path, content in files.items()):
        whole.update(path + b"\0" + len(content).to_bytes(8, "big"))
        whole.update(hashlib.sha256(content).digest())
    return Digest(f"sha256:{whole.hexdigest()}")


def is_digest(text: str) -> bool:
    """Return whether `text` is written exactly as a digest is: prefix and 64 lowercase digits."""
    return _SHAPE.fullmatch(text) is not None

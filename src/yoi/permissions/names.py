"""Safe ids: names that need no escaping in a file, a path, a URL or on a screen."""

import re

from yoi.limits import LIMITS

_SAFE_ID = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?\Z")


def is_safe_id(text: str) -> bool:
    """Return whether `text` is 1 to 128 ASCII letters, digits, `-`, `_`, `.`, no dot at an end."""
    return len(text) <= LIMITS.name_bytes and _SAFE_ID.match(text) is not None

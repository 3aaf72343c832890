"""Which close codes may be written and declared (RFC 6455 7.4, IANA registry)."""

_RESERVED = frozenset({1004, 1005, 1006})


def is_close_code(code: int) -> bool:
    """Return whether `code` may stand in a close frame."""
    return (1000 <= code <= 1014 and code not in _RESERVED) or 3000 <= code <= 4999

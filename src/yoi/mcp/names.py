"""The name under which a model knows a server's tool."""

import hashlib
import re

_ODD = re.compile(r"[^A-Za-z0-9_-]")
_MOST = 64
_MARK = 8


def model_name(server: str, tool: str) -> str:
    """Return `SERVER_TOOL` as every provider takes it: other characters become `_`.

    One that was changed or is too long ends with a mark of the whole name, so that two stay two.
    """
    whole = f"{server}_{tool}"
    plain = _ODD.sub("_", whole)
    if not re.match(r"[A-Za-z_]", plain):
        plain = f"_{plain}"
    if plain == whole and len(plain) <= _MOST:
        return plain
    mark = hashlib.sha256(whole.encode()).hexdigest()[:_MARK]
    return f"{plain[: _MOST - _MARK - 1]}_{mark}"

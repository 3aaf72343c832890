"""Escape text that nobody trusts before a person sees it.

Everything that comes from a package, a gateway, a guest or a model is data on every screen. This
module is the one place that turns such text into something a terminal, a log or a page may print.
"""

import unicodedata

ELLIPSIS = "…"
# Unicode general categories that may move a cursor, hide text or reorder it.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, max_chars: int = 512) -> str:
    """Return `text` on one line, with control, bidi and unassigned characters escaped.

    `max_chars` bounds the result; what was cut is shown by one ellipsis. Ordinary text, spaces and
    combining marks pass unchanged, so names in any script stay readable.
    """
    cut = len(text) > max_chars
    if cut:
        text = text[: max(0, max_chars - 1)]
    if not text.isascii() or not text.isprintable():
        text = "".join(_escape(char) for char in text)
        if len(text) > max_chars:
            text, cut = text[: max(0, max_chars - 1)], True
    return text + ELLIPSIS if cut else text


def _escape(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN:
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

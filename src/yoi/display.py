"""Escape untrusted text before a person sees it.

Everything that comes from a package, a gateway, a guest or a model is data on every screen. This
module is the one place that turns such text into something a terminal, a log or a page may print.
"""

import unicodedata

ELLIPSIS = "…"
# Unicode general categories that may move a cursor, hide text or reorder it.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_EMOJI_STYLES = "\ufe0e\ufe0f"
"""They say how the symbol before them looks; behind anything else they are invisible."""


def printable(text: str, max_chars: int = 512) -> str:
    """Return `text` on one line, with control, bidi, invisible and unassigned characters escaped.

    `max_chars` bounds the result; what was cut is shown by one ellipsis. Ordinary text, spaces,
    emoji and combining marks pass unchanged, so names in any script stay readable.
    """
    cut = len(text) > max_chars
    if cut:
        text = text[: max(0, max_chars - 1)]
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_escape, text, " " + text))
        if len(text) > max_chars:
            text, cut = text[: max(0, max_chars - 1)], True
    return text + ELLIPSIS if cut else text


def escape_invisible(text: str) -> str:
    """Return `text` with invisible, direction-changing and control characters as JSON escapes.

    Line breaks and tabs stay. What a person would not see on a screen is so plain to a model too.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or not _unseen(char) else _json_escape(char) for char in text
    )


# Default_Ignorable_Code_Point of categories that hold letters and marks too, and blank symbols.
_IGNORABLE = frozenset(
    map(chr, [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0])
) | frozenset(
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)


def _unseen(char: str) -> bool:
    return char in _IGNORABLE or unicodedata.category(char) in _HIDDEN


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _escape(char: str, before: str) -> str:
    if not _unseen(char) or (char in _EMOJI_STYLES and unicodedata.category(before) == "So"):
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

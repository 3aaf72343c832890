"""Escape untrusted text before a person sees it.

Everything that comes from a package, a gateway, a guest or a model is data on every screen. This
module is the one place that turns such text into something a terminal, a log or a page may print.
"""

import os
import re
import unicodedata
from pathlib import PurePath

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


def shell_word(value: object) -> str:
    """Return `value` as one word of a command that a person pastes into a shell.

    A path that begins with `-` would be an option, and gets `./`. What a screen would escape is
    written in octal, which bash, zsh and ksh read, so that the word survives `printable`.
    """
    text = str(value)
    if isinstance(value, PurePath) and text.startswith("-"):
        text = f".{os.sep}{text}"
    if _PLAIN_WORD.fullmatch(text):
        return text
    if printable(text, len(text) + 1) == text:
        return "'" + text.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_octal, os.fsencode(text))) + "'"


def shell_argument(text: str) -> str:
    """Return `text` as the next argument of a printed command, never as an option of it.

    Options have to stand before it.
    """
    return f"-- {shell_word(text)}" if text.startswith("-") else shell_word(text)


_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*")
"""zsh replaces a word that begins with `=`."""


def _octal(byte: int) -> str:
    char = chr(byte)
    return char if char.isascii() and char.isprintable() and char not in "\\'!" else f"\\{byte:03o}"


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

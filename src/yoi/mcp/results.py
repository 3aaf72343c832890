"""What becomes of a tool's result: text for the model, and what else there was, in words."""

from collections.abc import Iterable
from typing import Any

import msgspec

from yoi.display import printable


def result_text(content: Iterable[Any], structured: Any, most: int) -> str:
    """Return the blocks of a result as text of about `most` characters at most.

    Pictures, sound and files are named, not passed on. The structured form counts where no block
    has text.
    """
    parts: list[str] = []
    room = most
    said = False
    for block in content:
        if room <= 0:
            break
        text = getattr(block, "text", None)
        if isinstance(text, str):
            said = True
        else:
            text = _named(block)
        parts.append(text[:room])
        room -= len(text)
    if structured is not None and not said:
        parts.insert(0, msgspec.json.encode(structured).decode()[:most])
    return "\n".join(parts)


def _named(block: Any) -> str:
    kind = printable(str(getattr(block, "type", "block")), 32)
    inner = getattr(block, "resource", block)
    text = getattr(inner, "text", None)
    if isinstance(text, str):
        return text
    about = [
        printable(str(value), 256)
        for value in (
            getattr(inner, "mime_type", None),
            getattr(inner, "uri", None),
            getattr(inner, "name", None),
        )
        if value is not None
    ]
    data = getattr(inner, "data", None) or getattr(inner, "blob", None)
    if isinstance(data, str):
        about.append(f"{len(data)} characters of Base64")
    return f"[{kind}{': ' if about else ''}{', '.join(about)}; not passed on]"

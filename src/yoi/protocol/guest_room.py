"""How much memory an event takes inside the guest, told before the guest gets it.

A guest that is out of memory dies, or fails in whatever it does next: so what can not fit is
refused with the setting that would help. What is told is less than what is really taken.
"""

from yoi.limits import LIMITS, MIB
from yoi.protocol.depth import parsed_bytes
from yoi.protocol.ingress import BinaryFrame, IngressEvent, QueuedEvent, TextFrame

LOOKED_AT = 1 * MIB
"""Events up to this size fit into any guest that runs at all."""
_STEP = 16 * MIB
_HIGH = bytes(range(128, 256))


def needed_in_python(event: QueuedEvent) -> int:
    """Return the bytes of memory that a Python plugin needs to be handed `event` and read it.

    Whatever the plugin keeps, or makes of it besides, comes on top.
    """
    if isinstance(event, BinaryFrame):
        # The call as UTF-8, where its slice comes to lie, its string, and the bytes made of it.
        wide = event.size - len(event.data.translate(None, _HIGH))
        return LIMITS.guest_python_bytes + 3 * event.size + wide
    if isinstance(event, TextFrame):
        text, copies = event.text, 2
    else:
        text, copies = _text_of(event), 3
    width = 1 if text.isascii() else _width(text)
    return LIMITS.guest_python_bytes + copies * width * len(text) + _parsed(text)


def in_component(size: int) -> int:
    """Return the bytes of memory that a component needs to be handed JSON of `size` bytes."""
    return size + LIMITS.guest_memory_min_bytes


def enough(needed: int) -> int:
    """Return the memory to ask for where `needed` bytes are the least: with room to work."""
    steps = -(-(needed + needed // 4) // _STEP)
    return min(steps * _STEP, LIMITS.guest_memory_max_bytes)


def _text_of(event: IngressEvent) -> str:
    body = event.payload.get("body")
    return body if isinstance(body, str) else ""


def _width(text: str) -> int:
    """Return the bytes of each character of `text`: one that is wide makes all so."""
    top = max(text)
    return 1 if top < "\u0100" else 2 if top < "\U00010000" else 4


def _parsed(text: str) -> int:
    return parsed_bytes(text) if text[:64].lstrip()[:1] in ("{", "[") else 0

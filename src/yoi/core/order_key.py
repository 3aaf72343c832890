"""The key that orders an event among others of its ingress, where it declares `order = "per_key"`.

Events of one key are handled in the order in which they came, and so is what has no key, among
all. Nothing is written down: the key is in the event, and is found again after a crash.
"""

import msgspec

from yoi.core.insertion import value_at
from yoi.permissions import JsonPointer
from yoi.protocol.ingress import QueuedEvent, TextFrame


def order_key(event: QueuedEvent, at: JsonPointer) -> str | None:
    """Return what stands `at` in a text frame, as JSON: text, a number, true or false.

    None where nothing of these does, and for every event that is no text frame.
    """
    if not isinstance(event, TextFrame):
        return None
    try:
        value = value_at(msgspec.json.decode(event.text), at)
    except (msgspec.DecodeError, RecursionError, LookupError, UnicodeError):
        return None
    if not isinstance(value, str | int | float):
        return None
    return msgspec.json.encode(value).decode()

"""Who may speak through a plugin: the operator's filter, which the host applies before the guest.

Sans-I/O. Rules are looked at in order; the first whose `when` fits a text frame decides about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from yoi.core.frame_search import PointerReader
from yoi.limits import LIMITS, Limits
from yoi.permissions.match import json_equal
from yoi.permissions.senders import SenderRule

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Heard:
    """What the filter says about one frame; `sender` is "" where no rule is about it."""

    delivered: bool
    sender: str = ""


class SenderFilter:
    """The rules of one plugin. Without rules everything is delivered and may be told to workers."""

    def __init__(self, rules: Sequence[SenderRule] = (), limits: Limits = LIMITS) -> None:
        self._rules = tuple(rules)
        pointers = [rule.at for rule in rules]
        pointers += [rule.when.at for rule in rules if rule.when.at is not None]
        self._reader = PointerReader(pointers, limits)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def hear(self, text: str) -> Heard:
        """Return whether the frame `text` is delivered, and whose it is.

        A frame that is too costly to read to its end is not delivered.
        """
        found = self._reader.read(text)
        if found is None:
            return Heard(delivered=False)
        for rule in self._rules:
            if rule.when.fits(text, found):
                sender = found.get(rule.at, _ABSENT)
                if any(json_equal(sender, one) for one in rule.listed):
                    return Heard(delivered=True, sender=str(sender))
                return Heard(delivered=False)
        return Heard(delivered=True)

"""Who may speak through a plugin: the operator's filter, which the host applies before the guest.

Sans-I/O. Rules are looked at in order; the first whose `when` fits a text frame decides about it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from yoi.core.frame_search import PointerReader
from yoi.limits import LIMITS, Limits
from yoi.permissions.match import json_equal
from yoi.permissions.pointers import JsonPointer
from yoi.permissions.senders import Scalar, SenderRule

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Heard:
    """What the filter says about one frame; `sender` is "" where no rule is about it."""

    delivered: bool
    sender: str = ""


class Pairing(Protocol):
    """The senders of one plugin that were let in by a code, and the way in."""

    def paired(self, rule: SenderRule) -> Collection[Scalar]:
        """Return those of `rule`."""
        ...

    def said(self, rule: SenderRule, sender: Scalar, text: str) -> None:
        """Take note that the unlisted `sender` said `text` where a code may stand."""
        ...


class SenderFilter:
    """The rules of one plugin. Without rules everything is delivered and may be told to workers."""

    def __init__(
        self,
        rules: Sequence[SenderRule] = (),
        limits: Limits = LIMITS,
        pairing: Pairing | None = None,
    ) -> None:
        self.rules = tuple(rules)
        self._pairing = pairing
        pointers = [rule.at for rule in rules]
        pointers += [rule.pair for rule in rules if rule.pair is not None]
        pointers += [rule.when.at for rule in rules if rule.when.at is not None]
        self._reader = PointerReader(pointers, limits)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def hear(self, text: str) -> Heard:
        """Return whether the frame `text` is delivered, and whose it is.

        A frame that is too costly to read to its end is not delivered.
        """
        return self._hear(text, hears_codes=False)

    def admit(self, text: str) -> Heard:
        """Return the same of a frame that has just come: it may hold a pairing code."""
        return self._hear(text, hears_codes=True)

    def _hear(self, text: str, *, hears_codes: bool) -> Heard:
        found = self._reader.read(text)
        if found is None:
            return Heard(delivered=False)
        for rule in self.rules:
            if rule.when.fits(text, found):
                return self._judged(rule, found, hears_codes=hears_codes)
        return Heard(delivered=True)

    def _judged(
        self, rule: SenderRule, found: Mapping[JsonPointer, Any], *, hears_codes: bool
    ) -> Heard:
        sender = found.get(rule.at, _ABSENT)
        if any(json_equal(sender, one) for one in rule.listed):
            return Heard(delivered=True, sender=str(sender))
        pairing = self._pairing
        if pairing is None or rule.pair is None or not _is_scalar(sender):
            return Heard(delivered=False)
        if any(json_equal(sender, one) for one in pairing.paired(rule)):
            return Heard(delivered=True, sender=str(sender))
        said = found.get(rule.pair, _ABSENT)
        if hears_codes and isinstance(said, str):
            pairing.said(rule, sender, said)
        return Heard(delivered=False)


def _is_scalar(sender: Any) -> bool:
    return isinstance(sender, str | int) and not isinstance(sender, bool)

"""Who may watch what, and how much of it they see (O7): decided per principal, here and only here.

The answers hold for snapshot, replay and live alike, because all three are made by one feed per
projection. Events that a policy hides keep their numbers in the sequence.
"""

from collections.abc import Mapping
from typing import Protocol

from yoi.backend.redaction import Observed, redacted
from yoi.protocol.observation import Subject
from yoi.serving.principals import Principal, Redaction, SubjectPattern

FULL = "full"
"""The projection in which nothing is hidden."""


class ObservationPolicy(Protocol):
    """The seam. Every answer is a pure function of its arguments: it is asked often, and again."""

    def observe(self, principal: Principal, subject: Subject) -> bool:
        """Return whether `principal` may watch `subject`; to others it does not exist."""
        ...

    def projection(self, principal: Principal, subject: Subject) -> str:
        """Return a short name for what is hidden: principals of one name share every frame."""
        ...

    def project(self, event: Observed, principal: Principal) -> Observed | None:
        """Return the event, a placeholder, or None where not even that is shown.

        A snapshot is never None. The same function for all principals of one projection.
        """
        ...

    def affordances(self, principal: Principal, subject: Subject) -> tuple[str, ...]:
        """Return the names of the actions to offer."""
        ...

    def forward(self, command: str, principal: Principal, subject: Subject) -> bool:
        """Return whether `command` may be passed on to `subject`."""
        ...


class ConfiguredPolicy:
    """What a principal's token says, less what is denied to all or to it by name.

    `denied` holds patterns per name of a principal; those under `*` hold for all.
    """

    def __init__(self, denied: Mapping[str, tuple[SubjectPattern, ...]] | None = None) -> None:
        self._denied = dict(denied or {})

    def observe(self, principal: Principal, subject: Subject) -> bool:
        """Return whether a pattern of the token matches and none that denies does."""
        denied = (*self._denied.get("*", ()), *self._denied.get(principal.name, ()))
        return principal.observes(subject) and not any(one.matches(subject) for one in denied)

    def projection(self, principal: Principal, subject: Subject) -> str:
        """Return the names of what is hidden, sorted."""
        return "+".join(sorted(principal.redact)) or FULL

    def project(self, event: Observed, principal: Principal) -> Observed | None:
        """Return the event with what is hidden emptied."""
        return redacted(event, principal.redact)

    def affordances(self, principal: Principal, subject: Subject) -> tuple[str, ...]:
        """Return the commands that may be passed on, sorted.

        A principal from whom arguments are withheld cannot know what it would approve.
        """
        if not self.observe(principal, subject):
            return ()
        blind = Redaction.TOOL_ARGUMENTS in principal.redact
        return tuple(sorted(principal.commands - {"approve"} if blind else principal.commands))

    def forward(self, command: str, principal: Principal, subject: Subject) -> bool:
        """Return whether the token names `command` and the subject may be watched."""
        return command in self.affordances(principal, subject)

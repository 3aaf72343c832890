"""Who observes: a name, what it may see, and what is emptied for it. Parsed values, no lookups."""

from dataclasses import dataclass
from enum import StrEnum

from yoi.display import printable
from yoi.errors import TokenError
from yoi.limits import LIMITS
from yoi.permissions import is_safe_id
from yoi.protocol.observation import Subject, SubjectKind

ANY = "*"
_KINDS = (ANY, *SubjectKind)


COMMANDS = ("approve", "cancel", "compact", "pause", "resume", "revoke", "send")
"""What a client may ask of a worker; a token names those that it may have passed on."""


class PrincipalKind(StrEnum):
    """How a principal was identified."""

    OPERATOR = "operator"
    """The person who runs the process: let in by a one-time code that the process printed."""
    TOKEN = "token"
    """The holder of a named token of an observer."""
    UPSTREAM = "upstream"
    """A backend, at its runtime."""
    METRICS = "metrics"
    """A reader of the figures of a process, who may watch nothing."""


class Redaction(StrEnum):
    """What a principal is shown empty."""

    THINKING = "thinking"
    TOOL_ARGUMENTS = "tool_arguments"
    TOOL_OUTPUT = "tool_output"
    DIAGNOSTICS = "diagnostics"
    TICKETS = "tickets"


@dataclass(frozen=True, slots=True)
class SubjectPattern:
    """`RUNTIME/KIND/NAME`, each exact or `*` for any; `*` alone is everything.

    `KIND/NAME` is the same for any runtime. An exact runtime never matches a subject without one,
    so such a pattern shows nothing at the runtime itself.
    """

    runtime_id: str
    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "SubjectPattern":
        """Return the pattern in `text`. Raises TokenError (`token.pattern`)."""
        parts = text.split("/") if len(text) <= 3 * LIMITS.name_bytes else []
        if parts == [ANY]:
            parts = [ANY, ANY, ANY]
        elif len(parts) == 2:
            parts = [ANY, *parts]
        if (
            len(parts) != 3
            or parts[1] not in _KINDS
            or not all(part == ANY or is_safe_id(part) for part in (parts[0], parts[2]))
        ):
            raise TokenError(
                "token.pattern",
                f"{printable(text, 80)!r} does not say what may be observed",
                hint='write "*", "RUNTIME/worker/NAME" or "*/service/*"; "*" is for a whole part',
            )
        return cls(*parts)

    def matches(self, subject: Subject) -> bool:
        """Return whether `subject` is one of those meant."""
        return (
            self.runtime_id in (ANY, subject.runtime_id)
            and self.kind in (ANY, subject.kind)
            and self.name in (ANY, subject.name)
        )

    def __str__(self) -> str:
        parts = (self.runtime_id, self.kind, self.name)
        return ANY if parts == (ANY, ANY, ANY) else "/".join(parts)


EVERYTHING = SubjectPattern(ANY, ANY, ANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A client that was identified. It may observe only what `observe` matches."""

    name: str
    kind: PrincipalKind
    observe: tuple[SubjectPattern, ...] = ()
    redact: frozenset[Redaction] = frozenset()
    commands: frozenset[str] = frozenset()
    expires_at_ms: int | None = None
    """Milliseconds since 1970 from which on this principal is not let in."""
    credential: str = ""
    """Which token it is, so that a later one of the same name is another; empty without one."""

    def __str__(self) -> str:
        return self.name if self.kind is PrincipalKind.OPERATOR else f"{self.kind}:{self.name}"

    def observes(self, subject: Subject) -> bool:
        """Return whether it may watch `subject`."""
        return any(pattern.matches(subject) for pattern in self.observe)

    def expired(self, now_ms: int) -> bool:
        """Return whether its time is over."""
        return self.expires_at_ms is not None and now_ms >= self.expires_at_ms


def operator() -> Principal:
    """Return who may watch and ask everything here: the person who runs the process."""
    return Principal(
        name="operator",
        kind=PrincipalKind.OPERATOR,
        observe=(EVERYTHING,),
        commands=frozenset(COMMANDS),
    )

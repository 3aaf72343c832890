"""Decisions about values: whether a secret or a captured value may go to one position."""

from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.permissions import hints

if TYPE_CHECKING:
    from yoi.permissions.places import Position
    from yoi.permissions.secrets import Binding, Capture, SecretUse
    from yoi.permissions.sets import PermissionSet

NO_PLACE = "denied.secret_place"

Goal = tuple[str | None, str | None]
"""A connection or a request target, by name; exactly one is not None."""


class Way:
    """One value for one position of one goal, as manifest and grant describe it."""

    def __init__(
        self,
        what: str,
        asked: "Binding | None",
        given: "Binding | None",
        lines: str,
    ) -> None:
        self.what = what
        self.asked, self.given = asked is not None, given is not None
        self.lines = lines
        """What the manifest would need to say."""
        self._sides = {"manifest": asked, "grant": given}

    def wrong_place(self, at: "Position") -> str | None:
        """Return why `at` is not one of the places that both sides allow, or None."""
        for side, binding in self._sides.items():
            if binding is None or any(place.admits(at) for place in binding.places):
                continue
            before = ""
            if at.literal or any(one.pointer == at.pointer for one in binding.places):
                before = f' after "{printable(at.before, LIMITS.place_after_chars)}"'
            return (
                f"{self.what} does not go to {printable(str(at.pointer), 200)}{before}: "
                f"the {side} allows {binding.in_words()}"
            )
        return None


def goal_in_words(goal: Goal) -> str:
    """Return `connection gateway` or `request api`, escaped."""
    connection, request = goal
    kind, name = ("request", request) if connection is None else ("connection", connection)
    return f"{kind} {printable(name or '', LIMITS.name_bytes)}"


def way_of_secret(
    requested: "PermissionSet", granted: "PermissionSet", name: str, goal: Goal, at: "Position"
) -> "tuple[Way, SecretUse | None]":
    """Return the way of the secret `name`, and the grant's use of it.

    A key that signs is no such secret: it goes nowhere.
    """
    asked = requested.secret_use((name, *goal))
    given = granted.secret_use((name, *goal))
    asked = None if asked is None or asked.sign is not None else asked
    given = None if given is None or given.sign is not None else given
    if given is not None and given.secret is None:
        # Without the store's name the operator has not said which secret it is.
        given = None
    way = Way(
        f"the secret {printable(name, LIMITS.name_bytes)} for {goal_in_words(goal)}",
        None if asked is None else asked.binding,
        None if given is None else given.binding,
        hints.secret_lines(name, goal, at),
    )
    return way, given


def way_of_signature(
    requested: "PermissionSet", granted: "PermissionSet", name: str, goal: Goal
) -> "tuple[Way, SecretUse | None]":
    """Return the way of a signature with the key `name`, and the grant's use where both agree.

    A key, or another shape, that only one side has is no way at all.
    """
    asked = requested.secret_use((name, *goal))
    given = granted.secret_use((name, *goal))
    if asked is not None and asked.sign is None:
        asked = None
    if (
        asked is None
        or given is None
        or given.secret is None
        or (given.sign, given.binding) != (asked.sign, asked.binding)
    ):
        given = None
    way = Way(
        f"a signature with the key {printable(name, LIMITS.name_bytes)} for {goal_in_words(goal)}",
        None if asked is None else asked.binding,
        None if given is None else given.binding,
        hints.signature_lines(name, goal),
    )
    return way, given


def way_of_captured(
    requested: "PermissionSet",
    granted: "PermissionSet",
    source: tuple[str, str],
    goal: Goal,
    at: "Position",
) -> Way:
    """Return the way of the value that `source` (a request target and a capture of it) names."""

    def into(side: "PermissionSet") -> "Binding | None":
        capture = capture_of(side, *source)
        binding = None if capture is None else capture.into
        return binding if binding is not None and binding.bound_to == goal else None

    target, name = source
    return Way(
        f"the captured value {printable(f'{target}.{name}', LIMITS.name_bytes)} "
        f"for {goal_in_words(goal)}",
        into(requested),
        into(granted),
        hints.capture_lines(target, name, goal, at),
    )


def capture_of(side: "PermissionSet", target: str, name: str) -> "Capture | None":
    """Return the capture `name` of the request target `target`, or None."""
    found = side.request_named(target)
    return None if found is None else found.capture(name)

"""The review: what is asked for beside what is given, target by target, in plain words."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from yoi.limits import LIMITS, MIB
from yoi.permissions.review_rows import ReviewRow, ReviewState
from yoi.permissions.review_uses import capture_rows, secret_rows
from yoi.permissions.targets import TargetKind, UrlTarget, in_words

if TYPE_CHECKING:
    from yoi.permissions.permission import Permission
    from yoi.permissions.sets import PermissionSet

_MEMORY_STEP = 32 * MIB


@dataclass(frozen=True, slots=True)
class Review:
    """Every row: first what the manifest asks for, then what only the grant has."""

    rows: tuple[ReviewRow, ...]

    @property
    def broad(self) -> tuple[ReviewRow, ...]:
        """The rows to show apart from ordinary grants."""
        return tuple(row for row in self.rows if row.broad)

    @property
    def complete(self) -> bool:
        """Whether everything asked for is granted, and nothing else."""
        return all(row.state is ReviewState.COVERED for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return `{"complete": bool, "broad": bool, "rows": [...]}`."""
        return {
            "complete": self.complete,
            "broad": bool(self.broad),
            "rows": [row.to_json() for row in self.rows],
        }


def review(requested: "PermissionSet", granted: "PermissionSet") -> Review:
    """Return the review of `requested` against `granted` (an empty set before any approval)."""
    rows = [_permission(one, granted) for one in requested.permissions]
    rows += [
        _permission_without_request(one, requested)
        for one in granted.permissions
        if not requested.has(one)
    ]
    for kind in TargetKind:
        asked, given = requested.targets(kind), granted.targets(kind)
        memory = min(requested.memory, granted.memory)
        rows += [_target(one, given, memory) for one in asked]
        rows += [
            _row_for(
                one,
                ReviewState.GRANT_ONLY,
                "granted, but the manifest asks for nothing there: it has no effect",
            )
            for one in given
            if not any(one.meets(other) for other in asked)
        ]
    if requested.memory_bytes is not None or granted.memory_bytes is not None:
        rows.append(_memory(requested.memory, granted.memory))
    rows += capture_rows(requested, granted)
    rows += secret_rows(requested, granted)
    return Review(tuple(rows))


def _permission(wanted: "Permission", granted: "PermissionSet") -> ReviewRow:
    given = granted.has(wanted)
    part = not given and any(wanted.covers(one) for one in granted.permissions)
    if given:
        state, words = ReviewState.COVERED, f"it may {wanted.meaning}"
    elif part:
        state, words = ReviewState.PARTLY_COVERED, f"it asks to {wanted.meaning}; granted in part"
    else:
        state, words = ReviewState.DENIED, f"it asks to {wanted.meaning}; not granted"
    return ReviewRow(
        label=wanted.label,
        kind="permission",
        requested=True,
        granted=given or part,
        state=state,
        broad=wanted.broad,
        explanation=words,
    )


def _memory(asked: int, given: int) -> ReviewRow:
    if given >= asked:
        state, words = ReviewState.COVERED, f"it may use {in_words(asked)} of memory"
    else:
        state = ReviewState.PARTLY_COVERED
        words = f"it asks for {in_words(asked)} of memory and gets {in_words(given)}"
    return ReviewRow(
        label=in_words(asked),
        kind="memory",
        requested=True,
        granted=True,
        state=state,
        broad=(),
        explanation=words,
    )


def _permission_without_request(one: "Permission", requested: "PermissionSet") -> ReviewRow:
    held = any(one.covers(wanted) for wanted in requested.permissions)
    effect = (
        "granted more widely than the manifest asks: only what it asks for has effect"
        if held
        else "granted, but the manifest does not ask for it: it has no effect"
    )
    return ReviewRow(
        label=one.label,
        kind="permission",
        requested=False,
        granted=True,
        state=ReviewState.GRANT_ONLY,
        broad=one.broad,
        explanation=effect,
    )


def _target(wanted: UrlTarget, given: tuple[UrlTarget, ...], memory: int) -> ReviewRow:
    row = _granted_target(wanted, given)
    room = _room(wanted, memory)
    return row if room is None else replace(row, explanation=f"{row.explanation}; {room}")


def _room(target: UrlTarget, memory: int) -> str | None:
    """Say that the plugin's memory may not hold what `target` may bring; None where it does."""
    size = target.max_message_bytes
    holds = max(0, memory - LIMITS.guest_python_bytes) // LIMITS.guest_json_factor
    if size <= max(holds, LIMITS.message_bytes):
        return None
    needed = LIMITS.guest_python_bytes + LIMITS.guest_json_factor * size
    needed = min(-(-needed // _MEMORY_STEP) * _MEMORY_STEP, LIMITS.guest_memory_max_bytes)
    return (
        f"it may bring {in_words(size)} at once, and the plugin's memory of {in_words(memory)} "
        f"holds about {in_words(holds // MIB * MIB)} of usual JSON: to hold all, write and grant "
        f"memory_bytes = {needed} (JSON of many small values takes more; where it does not fit, "
        "the refusal says how much)"
    )


def _granted_target(wanted: UrlTarget, given: tuple[UrlTarget, ...]) -> ReviewRow:
    meeting = [one for one in given if one.meets(wanted)]
    if not meeting:
        return _row_for(
            wanted, ReviewState.DENIED, "asked for, not granted: every attempt is refused"
        )
    limits = _missing(wanted, meeting)
    if limits:
        return _row_for(wanted, ReviewState.PARTLY_COVERED, "granted in part: " + "; ".join(limits))
    wider = [one for one in meeting if not _covers(one, [wanted])]
    words = "granted as asked"
    if wider:
        words = f"granted, and the grant is wider ({wider[0].label}): the manifest holds it to this"
    return _row_for(wanted, ReviewState.COVERED, words)


def _missing(wanted: UrlTarget, given: list[UrlTarget]) -> list[str]:
    """Return what of `wanted` the grants leave out, in words; empty when they cover it."""
    missing = []
    if not _covers(wanted, given):
        missing.append("only within " + ", or ".join(one.label for one in given[:3]))
    most = max(one.max_message_bytes for one in given)
    if most < wanted.max_message_bytes:
        missing.append(f"{wanted.kind.brings} only up to {in_words(most)}")
    if wanted.private and not any(one.private for one in given):
        missing.append("only where the name leads to a public address")
    if wanted.idempotent and not any(one.idempotent and one.name == wanted.name for one in given):
        missing.append("not asked again where a crash leaves its end unknown")
    if wanted.name is not None and not any(one.name == wanted.name for one in given):
        missing.append(f"not under the name {wanted.name}, so nothing can be asked of it by name")
    return missing


def _covers(wanted: UrlTarget, given: list[UrlTarget]) -> bool:
    return all(
        any(one.covers_reach(wanted.host, reach) for one in given) for reach in wanted.reaches()
    )


def _row_for(target: UrlTarget, state: ReviewState, explanation: str) -> ReviewRow:
    return ReviewRow(
        label=target.label,
        kind=target.kind.value,
        requested=state is not ReviewState.GRANT_ONLY,
        granted=state is not ReviewState.DENIED,
        state=state,
        broad=target.broad,
        explanation=explanation,
    )

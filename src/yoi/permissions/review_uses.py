"""Rows about values: which secret goes where, and what is taken out of answers."""

from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.permissions.review_rows import ReviewRow, ReviewState
from yoi.permissions.signatures import PartKind, Subject

if TYPE_CHECKING:
    from yoi.permissions.secrets import Binding, Capture, SecretUse
    from yoi.permissions.sets import PermissionSet
    from yoi.permissions.signatures import Signature
    from yoi.permissions.targets import UrlTarget


def secret_rows(requested: "PermissionSet", granted: "PermissionSet") -> list[ReviewRow]:
    """Return a row for each secret that is asked for, then for each that is only granted."""
    rows = [_secret(use, granted.secret_use(use.key), requested) for use in requested.secrets]
    for use in granted.secrets:
        if requested.secret_use(use.key) is None:
            rows.append(
                _row(
                    use,
                    requested,
                    ReviewState.GRANT_ONLY,
                    "granted, but the manifest does not ask for it: it has no effect",
                )
            )
    return rows


def _secret(use: "SecretUse", given: "SecretUse | None", requested: "PermissionSet") -> ReviewRow:
    if use.sign is not None:
        return _signature(use, use.sign, given, requested)
    goal = _goal(use.binding, requested)
    if given is None or given.secret is None or given.sign is not None:
        about = f" ({printable(use.description, 200)})" if use.description else ""
        if use.binding.presented:
            asks = f"present a client certificate of yours{about} to {_servers(use, requested)}"
        else:
            asks = f"put a secret of yours{about} into {use.binding.in_words()} of {goal}"
        return _row(
            use,
            requested,
            ReviewState.DENIED,
            f"it asks to {asks}; not granted: say which secret with --secret {use.name}=STORE_NAME",
        )
    both = [at for at in use.binding.places if at in given.binding.places]
    puts = f"puts your secret {given.secret} into {use.binding.in_words(both)} of {goal}"
    if both and use.binding.presented:
        puts = (
            f"presents your secret {given.secret} as client certificate to "
            f"{_servers(use, requested)}: they know you by it"
        )
    if not both:
        return _row(
            use,
            requested,
            ReviewState.DENIED,
            f"granted for {given.binding.in_words()} only, where the manifest does not ask for it",
        )
    left_out = [at for at in use.binding.places if at not in both]
    if left_out:
        words = f"{puts}; granted in part: not into {use.binding.in_words(left_out)}"
        return _row(use, requested, ReviewState.PARTLY_COVERED, words)
    return _row(use, requested, ReviewState.COVERED, puts)


def _signature(
    use: "SecretUse",
    sign: "Signature",
    given: "SecretUse | None",
    requested: "PermissionSet",
) -> ReviewRow:
    if sign.of is Subject.REQUEST:
        target = requested.request_named(use.binding.request or "")
        where = use.binding.request if target is None else target.where
        what = f"{', '.join(sign.methods)} requests to {where}"
    else:
        things = "handshakes" if sign.of is Subject.HANDSHAKE else "messages"
        what = f"{things} of the connection {use.binding.connection}"
    chosen = ", ".join(sign.chosen)
    how = f"{sign.words}; the signature goes into {use.binding.in_words()}; " + (
        f"the plugin chooses {chosen}" if chosen else "the plugin chooses nothing of it"
    )
    if given is None or given.secret is None or given.sign is None:
        about = f" ({printable(use.description, 200)})" if use.description else ""
        state = ReviewState.DENIED
        words = (
            f"it asks to have {what} signed with a key of yours{about}: {how}; not granted: say "
            f"which key with --secret {use.name}=STORE_NAME"
        )
    elif given.sign != sign or given.binding != use.binding:
        state = ReviewState.DENIED
        words = (
            f"it asks to have {what} signed with a key of yours: {how}; the grant is for another "
            "shape, which signs nothing"
        )
    else:
        state = ReviewState.COVERED
        words = (
            f"it may have {what} signed with your key {given.secret}, which it never sees: {how}"
        )
    return _row(use, requested, state, words)


def _servers(use: "SecretUse", requested: "PermissionSet") -> str:
    """Return who is shown a certificate, in words."""
    if use.binding.connection is not None:
        return f"the servers of the connection {use.binding.connection}"
    target = requested.request_named(use.binding.request or "")
    return f"the servers of {use.binding.request if target is None else target.where}"


def _goal(binding: "Binding", requested: "PermissionSet") -> str:
    """Return what receives the value, in words: `requests to api.example.com/v1`."""
    if binding.connection is not None:
        return f"messages and handshakes of the connection {binding.connection}"
    target = requested.request_named(binding.request or "")
    return f"requests to {binding.request if target is None else target.where}"


def _broad(binding: "Binding", requested: "PermissionSet") -> tuple[str, ...]:
    """Return why giving a value to this goal is more than it looks, one sentence each."""
    reasons = []
    if binding.request is not None:
        if any(at.pointer.tokens[0] in ("query", "path") for at in binding.places):
            reasons.append(
                "it stands in the URL, which servers and proxies on the way write into their logs"
            )
        target = requested.request_named(binding.request)
        if target is not None:
            reasons += _broad_goal(target)
    return tuple(reasons)


def _broad_goal(target: "UrlTarget") -> list[str]:
    reasons = []
    if target.host.exact is None:
        reasons.append(f"it can be sent to any host that {target.host.display} stands for")
    if target.scheme != "https" and not target.local:
        reasons.append("it can be sent unencrypted, for anybody on the way to read")
    return reasons


def _broad_use(use: "SecretUse", requested: "PermissionSet") -> tuple[str, ...]:
    if use.sign is None:
        return _broad(use.binding, requested)
    # A signature may stand in a URL: it is no secret.
    target = requested.request_named(use.binding.request or "")
    return (*_free_text(use.sign), *([] if target is None else _broad_goal(target)))


def _free_text(sign: "Signature | None") -> tuple[str, ...]:
    if sign is None or not any(part.kind is PartKind.VALUE for part in sign.every_part()):
        return ()
    return (
        "it chooses a text of its own that is signed: a server may take it for something else that "
        "the key signs",
    )


def _row(
    use: "SecretUse", requested: "PermissionSet", state: ReviewState, explanation: str
) -> ReviewRow:
    return ReviewRow(
        label=use.label,
        kind="secret",
        requested=state is not ReviewState.GRANT_ONLY,
        granted=state is not ReviewState.DENIED,
        state=state,
        broad=_broad_use(use, requested),
        explanation=explanation,
    )


def capture_rows(requested: "PermissionSet", granted: "PermissionSet") -> list[ReviewRow]:
    """Return a row for each value that answers are relieved of."""
    rows = []
    for target in requested.request:
        for capture in target.captures:
            side = granted.request_named(target.name or "")
            given = None if side is None else side.capture(capture.name)
            state, words = _capture_state(capture, given)
            rows.append(
                ReviewRow(
                    label=printable(
                        f"{target.name}.{capture.name} at {capture.at}", LIMITS.message_chars
                    ),
                    kind="capture",
                    requested=True,
                    granted=given is not None,
                    state=state,
                    broad=() if capture.into is None else _broad(capture.into, requested),
                    explanation=f"{words}{_capture_words(capture, target, requested)}",
                )
            )
    return rows


def _capture_state(capture: "Capture", given: "Capture | None") -> tuple[ReviewState, str]:
    if given is None:
        return ReviewState.DENIED, "asked for, not granted: "
    if _within(capture.into, given.into) and capture.rotates in (None, given.rotates):
        return ReviewState.COVERED, ""
    return ReviewState.PARTLY_COVERED, "granted in part: "


def _within(asked: "Binding | None", given: "Binding | None") -> bool:
    if asked is None:
        return True
    return (
        given is not None
        and asked.bound_to == given.bound_to
        and set(asked.places) <= set(given.places)
    )


def _capture_words(capture: "Capture", target: "UrlTarget", requested: "PermissionSet") -> str:
    words = (
        f"keeps what {target.where} answers at {printable(str(capture.at), 200)} from the plugin"
    )
    if capture.into is not None:
        goal = _goal(capture.into, requested)
        words += f"; puts it into {capture.into.in_words()} of {goal}"
    if capture.rotates is not None:
        words += f"; replaces your secret for {capture.rotates} by it, in your store"
    return words

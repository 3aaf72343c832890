"""Asking something of a worker that is watched: what its token allows, and no more."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from yoi.client.http import asked, fetch
from yoi.client.outcomes import of_answer
from yoi.client.target import Target
from yoi.errors import CODES, ObserveError
from yoi.limits import LIMITS, Limits


class _Refused(msgspec.Struct):
    code: str
    message: str = ""


class _Offered(msgspec.Struct):
    actions: list[str]


async def affordances(
    target: Target, *, tls: ssl.SSLContext | None = None, limits: Limits = LIMITS
) -> list[str]:
    """Return the commands that the token may send to `target`. Raises ObserveError."""
    body = await fetch(target.server, f"{_path(target)}/affordances", tls=tls, limits=limits)
    try:
        return msgspec.json.decode(body, type=_Offered).actions
    except (msgspec.DecodeError, RecursionError):
        raise ObserveError("observe.refused", "the server's answer cannot be read") from None


async def command(
    target: Target,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    limits: Limits = LIMITS,
) -> Any:
    """Return the worker's answer to `name`: approve, cancel, compact, pause, resume, revoke, send.

    Raises ObserveError: with the worker's own code where the worker refused (`worker.decided`
    where somebody else has decided), `observe.forbidden` where the token does not allow it.
    `observe.unreachable` leaves open whether it was carried out.
    """
    document = msgspec.json.encode({"command": name, "arguments": dict(arguments or {})})
    path = f"{_path(target)}/commands"
    status, headers, body = await asked(target.server, path, document, tls=tls, limits=limits)
    if status == 409:
        raise _refusal(body)
    if status != 200:
        judged = of_answer(status, headers, body)
        raise judged.error or ObserveError("observe.unreachable", judged.message)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ObserveError("observe.refused", "the server's answer cannot be read") from None


async def approve(
    target: Target,
    item: int,
    *,
    approved: bool = True,
    scope: str = "once",
    matches: Sequence[Mapping[str, Any]] = (),
    lasts_s: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Decide about the call that waits at `item` of the history: see `ApprovalRequestData`.

    `scope` is once, run, exact or matching; `matches` are `{"at": "/channel", "equals": "C1"}`
    and the like. Raises ObserveError, as `command` does.
    """
    made: dict[str, Any] = {"item": item, "approved": approved, "scope": scope}
    if matches:
        made["matches"] = [dict(match) for match in matches]
    if lasts_s is not None:
        made["lasts_s"] = lasts_s
    await command(target, "approve", made, tls=tls)


def _path(target: Target) -> str:
    subject = target.subject
    if not subject.runtime_id:
        raise ObserveError("observe.target", "commands go to a backend, not to a runtime")
    runtime, name = (quote(part, safe="") for part in (subject.runtime_id, subject.name))
    return f"/api/runtimes/{runtime}/{subject.kind}s/{name}"


def _refusal(body: bytes) -> ObserveError:
    try:
        told = msgspec.json.decode(body, type=_Refused)
    except (msgspec.DecodeError, RecursionError):
        return ObserveError("observe.refused", "the server refused the command")
    return ObserveError(told.code if told.code in CODES else "observe.refused", told.message)

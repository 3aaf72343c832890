"""Diagnostics: the one shape in which a person, a script and a log learn what happened."""

from typing import Any, Literal

import msgspec

from yoi.display import printable
from yoi.errors import CODES, YoiError
from yoi.limits import LIMITS

Severity = Literal["info", "warning", "error"]


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `code` is listed in `yoi.errors.CODES` or in `NOTICES`."""

    at: str
    code: str
    severity: Severity
    scope: str
    message: str
    hint: str | None = None
    fields: dict[str, Any] = {}


NOTICES: dict[str, str] = {
    "notice.standby": "other machines run everything; this one takes over when one is gone",
    "notice.unit_taken": "this machine runs a unit of the cluster from now on",
    "notice.unit_homeless": "no machine that is there may run a unit: its runs_on fits none",
    "notice.unit_given": "this machine handed a unit of the cluster over",
    "notice.published": "which publication of the operator's the host goes by",
    "notice.lifecycle": "a service changed its state",
    "notice.connected": "a connection is open",
    "notice.closed": "a connection closed",
    "notice.reconnecting": "a connection will be dialled again",
    "notice.gap": "frames may be missing in the stated interval",
    "notice.paused": "reading is paused: the plugin is slow, or one message needs all room",
    "notice.resumed": "reading goes on",
    "notice.sender": "a message of a sender that the operator does not list was not delivered",
    "notice.binary_ignored": "a binary frame arrived on a connection that does not deliver binary",
    "notice.binary_withheld": "a binary frame repeats a secret, so the plugin does not get it",
    "notice.sequence": "the numbers of a message prove nothing, or went back",
    "notice.watch": "a frame is too large, or too odd as JSON, to be looked through",
    "notice.heartbeat": "a heartbeat could not be sent",
    "notice.answer": "a frame looks like an answer and answers no question that waits",
    "notice.autoreply": "an automatic reply could not be sent",
    "notice.request_recovered": "a request target that failed answers again",
    "notice.status": "the plugin reported its status",
    "notice.log": "the plugin printed or logged something",
    "notice.reconnect": "a person asked for a connection to be dialled",
    "notice.network": "[network] of host.toml changed and is in force",
    "notice.next_start": "a change of host.toml counts from the next start on",
    "notice.regranted": "a service goes on under other grants",
    "notice.replaced": "another version of the plugin has taken over; its open sessions go on",
    "notice.restart": "the plugin will be restarted",
    "alert.opened": "something needs a person",
    "alert.closed": "what an alert said is no longer so",
    "notice.recovered": "a durable service goes on where its last host left it",
    "notice.dev": "`yoi plugin dev` stopped the plugin until a person has agreed",
    "notice.retry": "an event will be delivered again",
    "notice.dropped": "an event was dropped by the overflow policy",
    "notice.effect_unknown": "an effect was interrupted and is not repeated",
}


def diagnostic(
    at: str,
    code: str,
    scope: str,
    message: str,
    *,
    severity: Severity = "info",
    hint: str | None = None,
    **fields: Any,
) -> Diagnostic:
    """Return a diagnostic with its message escaped and bounded; an unlisted code is a defect."""
    if code not in CODES and code not in NOTICES:
        raise LookupError(f"unlisted diagnostic code: {code}")
    return Diagnostic(
        at=at,
        code=code,
        severity=severity,
        scope=scope,
        message=printable(message, LIMITS.message_chars),
        hint=None if hint is None else printable(hint, LIMITS.message_chars),
        fields=fields,
    )


def failure(at: str, scope: str, error: YoiError, severity: Severity = "error") -> Diagnostic:
    """Return `error` as a diagnostic of `scope`."""
    return diagnostic(at, error.code, scope, error.message, severity=severity, hint=error.hint)

"""Judging watchers again: a revoked token ends its streams within seconds."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import Subject
from yoi.serving.hub import Hub
from yoi.serving.identity import Identities
from yoi.serving.principals import Principal
from yoi.serving.watcher import Watching

_log = structlog.get_logger("yoi.serving")

Observes = Callable[[Principal, Subject], bool]
Judge = Callable[[Watching, Subject], "str | None"]
"""Returns why a watcher has to leave, as an observation code, or None."""


def judge(identities: Identities, observes: Observes) -> Judge:
    """Return the judge that asks `identities` who may stay and `observes` what they may see."""

    def judged(watching: Watching, subject: Subject) -> str | None:
        principal = watching.token
        if not isinstance(principal, Principal):
            return None
        if not identities.holds(principal):
            return "session_expired"
        return None if observes(principal, subject) else subject.kind.not_found

    return judged


async def keep_reviewing(
    hub: Hub, identities: Identities, judged: Judge, limits: Limits = LIMITS
) -> None:
    """Look at the tokens again and again, and judge all watchers after changes. Until cancelled."""
    seen = identities.revision
    while True:
        await asyncio.sleep(limits.tokens_review_ms / 1000)
        try:
            identities.refresh()
            # Not what this call found: a request in between may have been first to look.
            if identities.revision != seen:
                hub.review(judged)
                seen = identities.revision
        except Exception:  # once more in a moment: a failure must not let a watcher stay
            _log.exception("a defect in Yoi", what="judging watchers again")


def begin_reviewing(
    hub: Hub,
    identities: Identities,
    observes: Observes,
    limits: Limits,
    running: contextlib.AsyncExitStack,
) -> None:
    """Review the watchers of `hub` for as long as `running` is entered."""
    judged = judge(identities, observes)
    reviewing = asyncio.ensure_future(keep_reviewing(hub, identities, judged, limits))
    running.callback(reviewing.cancel)

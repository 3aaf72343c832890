"""Who gets to watch what, for every transport: authenticator, policy and upstream, in this order.

Unknown and forbidden are one answer, made in one place, before anything is asked of a runtime.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from urllib.parse import unquote

from yoi.backend.policy import ObservationPolicy
from yoi.backend.redaction import Observed
from yoi.backend.source import Source
from yoi.backend.upstreams import Upstreams
from yoi.core.observation import Framing
from yoi.permissions import is_safe_id
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.admission import Admitted, Declined, Refused, UpgradeRequest
from yoi.serving.answers import nothing_here
from yoi.serving.authenticator import Authenticator, Headers
from yoi.serving.hub import Hub
from yoi.serving.principals import Principal
from yoi.serving.watcher import Watching

_STREAM = re.compile(r"/api/runtimes/([^/]+)/(worker|service|board)s/([^/]+)/events/ws")


class ObservationAccess:
    """See the module docstring. `sources` by runtime id."""

    def __init__(
        self,
        authenticator: Authenticator,
        policy: ObservationPolicy,
        sources: Mapping[str, Source],
        upstreams: Upstreams,
        hub: Hub,
    ) -> None:
        self.authenticator = authenticator
        self.policy = policy
        self.sources = sources
        self._upstreams = upstreams
        self._hub = hub
        self._waiting: Counter[str] = Counter()
        """How many clients wait for a runtime to answer, by principal."""

    def principal(self, headers: Headers) -> Principal:
        """Return the principal that asks. Raises Refused."""
        return self.authenticator.admit(headers)

    async def admit(self, request: UpgradeRequest) -> Admitted | Declined:
        """Decide about a WebSocket. Raises Refused."""
        principal = self.principal(request.headers)
        found = _STREAM.fullmatch(request.path)
        if found is None:
            raise nothing_here()
        subject = Subject(SubjectKind(found[2]), unquote(found[3]), unquote(found[1]))
        return await self.watch(
            principal,
            subject,
            Framing.WEBSOCKET,
            request.query.get("cursor"),
            snapshot_always=request.query.get("snapshot") == "always",
        )

    async def watch(
        self,
        principal: Principal,
        subject: Subject,
        framing: Framing,
        cursor: str | None,
        *,
        snapshot_always: bool,
    ) -> Admitted | Declined:
        """Return the share of `principal` in `subject`, or why there is none.

        Raises Refused: 503 `busy` where as many watch as may.
        """
        if not self.may_observe(principal, subject):
            return Declined(subject.kind.not_found)
        who = str(principal)
        most = self._hub.limits.followers_per_token
        if self._waiting[who] >= most or not self._hub.room(who):
            raise _busy()
        self._waiting[who] += 1
        try:
            lease = await self._upstreams.lease(subject)
        finally:
            self._waiting[who] -= 1
            self._waiting += Counter()  # drops those that are at zero
        if isinstance(lease, Declined):
            return lease
        if not self._hub.room(who):
            lease.release()
            raise _busy()
        return Admitted(
            channel=lease.channel,
            feed=lease.feed(
                self.policy.projection(principal, subject),
                framing,
                partial(self._project, principal),
            ),
            watching=Watching(who, principal.expires_at_ms, principal),
            cursor=cursor,
            snapshot_always=snapshot_always,
            notes=lease.notes,
            left=lease.release,
        )

    def may_observe(self, principal: Principal, subject: Subject) -> bool:
        """Return whether there can be such a subject, and `principal` may watch it."""
        return (
            subject.runtime_id in self.sources
            and is_safe_id(subject.name)
            and self.policy.observe(principal, subject)
        )

    def shows(self, principal: Principal, subject: Subject) -> bool:
        """Return whether `subject` is known to be there, for `principal`."""
        return self.may_observe(principal, subject) and (
            self._hub.channel(subject) is not None
            or subject.name in _names(self.sources[subject.runtime_id], subject.kind)
        )

    def _project(self, principal: Principal, event: Observed) -> Observed | None:
        return self.policy.project(event, principal)


def _busy() -> Refused:
    return Refused(503, "busy", "as many watch as may; try again later")


def _names(source: Source, kind: SubjectKind) -> set[str]:
    return {row.id for row in source.inventory.of(kind)}

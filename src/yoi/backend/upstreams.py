"""All upstreams of a backend: one per runtime and subject, made when first asked for (O5)."""

from collections.abc import Iterator, Mapping

from yoi.backend.backlog import Backlog
from yoi.backend.lease import Lease
from yoi.backend.local_source import LocalSource, SharedStreams
from yoi.backend.source import KINDS, RemoteStreams
from yoi.backend.upstream import Upstream, UpstreamContext, UpstreamState
from yoi.protocol.observation import Subject
from yoi.serving.admission import Declined

AnySource = LocalSource | RemoteStreams


class Upstreams:
    """`sources` by runtime id. Unwatched streams are kept for a while, the newest of them.

    Streams of the runtime in this process need no upstream: they are shared.
    """

    def __init__(
        self,
        sources: Mapping[str, AnySource],
        context: UpstreamContext,
        backlog: Backlog | None = None,
    ) -> None:
        self.counters = context.counters
        self._sources = sources
        self._context = context
        self._shared = SharedStreams(context.hub)
        self._backlog = backlog
        self._upstreams: dict[Subject, Upstream] = {}
        self._parked: dict[Subject, Upstream] = {}

    def __iter__(self) -> Iterator[Upstream]:
        return iter(list(self._upstreams.values()))

    def states(self) -> dict[UpstreamState, int]:
        """Return how many there are of each state; a stream of this process is always live."""
        found = dict.fromkeys(UpstreamState, 0)
        found[UpstreamState.LIVE] = len(self._shared)
        for upstream in self._upstreams.values():
            found[upstream.state] += 1
        return found

    def losses(self, runtime_id: str) -> int:
        """Return how often a stream of that runtime was lost."""
        return self._context.losses[runtime_id]

    async def lease(self, subject: Subject) -> Lease | Declined:
        """Return a share in the stream of `subject` once it can be watched, or why it can not."""
        source = self._sources.get(subject.runtime_id)
        if source is None:
            return Declined(KINDS[subject.kind].not_found)
        if isinstance(source, LocalSource):
            return self._shared.lease(source, subject)
        found = self._find(subject, source)
        if isinstance(found, Declined):
            return found
        self._parked.pop(subject, None)
        found.enter()
        try:
            declined = await found.ready()
            if declined is None:
                assert found.channel is not None
                return Lease(found.channel, found.notes, found.leave)
        except BaseException:
            found.leave()
            raise
        found.leave()
        return declined

    def dismiss(self) -> None:
        """Tell clients that wait for a stream that the process ends."""
        for upstream in self:
            upstream.dismiss()

    def close(self) -> None:
        """Stop all of them."""
        for upstream in self:
            upstream.close()
        self._upstreams.clear()
        self._parked.clear()

    def _find(self, subject: Subject, source: RemoteStreams) -> Upstream | Declined:
        known = self._upstreams.get(subject)
        if known is not None:
            return known
        if self._full():
            self._drop_idle()
        if self._full():
            return Declined(
                "runtime_unavailable",
                "as many streams are open as may be",
                retry_after_ms=self._context.limits.upstream_backoff_max_ms,
            )
        made = Upstream(
            subject,
            source,
            self._context,
            log=None if self._backlog is None else self._backlog.log(subject),
            rests=self._park,
            closed=self._drop,
        )
        self._upstreams[subject] = made
        return made

    def _full(self) -> bool:
        return len(self._upstreams) - len(self._parked) >= self._context.limits.upstreams

    def _drop_idle(self) -> None:
        """Drop those without clients and without a stream: their names may be made up."""
        for upstream in self:
            if not upstream.holders and upstream.channel is None:
                self._forget(upstream)

    def _park(self, upstream: Upstream) -> None:
        if upstream.channel is None:
            self._forget(upstream)
            return
        self._parked[upstream.subject] = upstream
        while len(self._parked) > self._context.limits.upstreams_parked:
            self._forget(self._parked.pop(next(iter(self._parked))))

    def _forget(self, upstream: Upstream) -> None:
        upstream.close()
        self._drop(upstream)
        self._context.hub.remove(upstream.subject)

    def _drop(self, upstream: Upstream) -> None:
        if self._upstreams.get(upstream.subject) is upstream:
            del self._upstreams[upstream.subject]
        self._parked.pop(upstream.subject, None)

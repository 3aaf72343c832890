"""The connections of one service: opened with it, judged when grants change, closed with it."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from yoi.connections.background_work import BackgroundWork
from yoi.core.deferred import DeferredCalls
from yoi.core.halts import Change
from yoi.core.ingress_queue import IngressQueue
from yoi.core.redaction import Masker
from yoi.core.senders import SenderFilter
from yoi.display import printable
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.permissions import Url
from yoi.permissions.connection_settings import GOING_AWAY
from yoi.protocol.ingress import EventKind, IngressEvent, QueuedEvent
from yoi.protocol.status import ConnectionStatus
from yoi.runtime.connection_adapter import ConnectionAdapter, received_ms
from yoi.runtime.intake import Intake
from yoi.runtime.ledger import Ledger
from yoi.runtime.masked_sink import MaskedSink
from yoi.runtime.service_spec import ConnectionHandle, ConnectionSpec
from yoi.types import Clock, SessionId

POLICY_CLOSE = 1012
"""RFC 6455's registry calls it "service restart": the operator changed what runs here."""


class ServiceConnections:
    """See the module docstring. `failed` hears of a fault of ours in what a connection reports."""

    def __init__(
        self,
        specs: Sequence[ConnectionSpec],
        queue: IngressQueue,
        intake: Intake,
        ledger: Ledger,
        clock: Clock,
        wake: Callable[[], None],
        masker: Callable[[], Masker],
        background: BackgroundWork,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[YoiError], None],
        deferred: DeferredCalls,
        limits: Limits,
        senders: SenderFilter | None = None,
    ) -> None:
        self._specs = specs
        self._queue = queue
        self._intake = intake
        self._ledger = ledger
        self._clock = clock
        self.wake = wake
        """Called after each event; who makes it may put what it leads to in its place."""
        self._masker = masker
        self._background = background
        self._senders = senders
        self._loop = loop
        self._failed = failed
        self._deferred = deferred
        self._limits = limits
        self._own_urls = {spec.settings.name: spec.settings.url for spec in specs}
        self._adapters: dict[str, ConnectionAdapter] = {}
        self._masked: dict[str, MaskedSink] = {}
        self._handles: dict[str, ConnectionHandle] = {}
        # Where each connection that was closed here was left, for the gap before its next session.
        self._left: dict[str, tuple[SessionId | None, int]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._leaving = False

    async def open(self) -> None:
        """Begin to dial what is not there yet, once earlier connections are closed."""
        self._leaving = False
        await self.closed()
        for spec in self._specs:
            if spec.settings.name in self._handles:
                continue
            adapter = ConnectionAdapter(
                spec.settings,
                self._queue,
                self._intake,
                self._ledger,
                self._clock,
                self.wake,
                self._deferred,
                self._senders,
            )
            if spec.settings.name in self._left:
                adapter.begin_after(*self._left.pop(spec.settings.name))
            doing = f"an event of {spec.settings.name}"
            masked = MaskedSink(
                adapter, self._masker, self._background, self._loop, doing, self._failed
            )
            handle = spec.open(masked)
            masked.attach(handle)
            adapter.attach(handle)
            self._masked[spec.settings.name] = masked
            self._adapters[spec.settings.name] = adapter
            self._handles[spec.settings.name] = handle
            handle.start()

    def use(
        self,
        specs: Sequence[ConnectionSpec],
        masker: Callable[[], Masker],
        senders: SenderFilter | None,
    ) -> list[str]:
        """Have these connections from now on; return the names of those that are closed for it.

        One that is declared as before, and of which policy says the same, keeps its session. What
        is not there yet is dialled by `open`.
        """
        before = {spec.settings.name: spec for spec in self._specs}
        now = {spec.settings.name: spec for spec in specs}
        self._specs, self._masker, self._senders = specs, masker, senders
        self._own_urls = {spec.settings.name: spec.settings.url for spec in specs}
        closed: list[str] = []
        for name, handle in tuple(self._handles.items()):
            spec = now.get(name)
            if spec is not None and spec.continues(before[name]) and spec.adopt(handle):
                self._adapters[name].use(senders)
                self._masked[name].use(masker)
                continue
            closed.append(name)
            if spec is None or before[name].settings.ingress not in self._queue.ingresses:
                self._adapters[name].mute()
            self._close(name, POLICY_CLOSE, "another version of the plugin")
        return closed

    @property
    def names(self) -> frozenset[str]:
        """Return the connections that there are now."""
        return frozenset(self._handles)

    def handle(self, name: str) -> ConnectionHandle:
        """Return the connection `name`. Raises ConnectionFailure `connection.not_open`."""
        handle = self._handles.get(name)
        if handle is None:
            raise ConnectionFailure("connection.not_open", f"{name} is not open", name=name)
        return handle

    def require_question(self, question: str) -> None:
        """Raise ConnectionFailure unless the service may ask `question` on some session now.

        Its answer is known by its id, wherever it was asked.
        """
        waiting = [one for handle in self._handles.values() for one in handle.open_questions]
        if question in waiting:
            raise ConnectionFailure(
                "connection.question_repeated",
                f"a question {question!r} waits for its answer already: give each its own id",
            )
        if len(waiting) >= self._limits.questions_per_service:
            raise ConnectionFailure(
                "connection.questions",
                f"{self._limits.questions_per_service} questions of the plugin wait already",
            )

    def give_up(self, question: str | None) -> None:
        """Wait no more for the answer to `question`, or (None) for any."""
        for handle in self._handles.values():
            handle.give_up(question)

    def own_url(self, name: str) -> Url | None:
        """Return the URL that the manifest names for it."""
        return self._own_urls.get(name)

    def leave(self) -> None:
        """Read nothing more: the service stops and would discard it."""
        self._leaving = True
        for adapter in self._adapters.values():
            adapter.leave()
        for masked in self._masked.values():
            masked.leave()
        for handle in self._handles.values():
            handle.pause()

    def tell_losses(self) -> None:
        """Let the plugin hear of frames that found no room, now that there is some."""
        for adapter in self._adapters.values():
            if adapter.lost:
                adapter.tell_losses()

    def resume(self, ingresses: Collection[str]) -> None:
        """Let the connections of `ingresses` read again."""
        if self._leaving:
            return
        for spec in self._specs:
            if spec.settings.ingress in ingresses and spec.settings.name in self._handles:
                self._handles[spec.settings.name].resume()

    def feedback(self, event: QueuedEvent, kind: EventKind, payload: dict[str, Any]) -> None:
        """Queue feedback about a command that answered `event`, as its connection's."""
        adapter = self._adapters.get(event.connection or "")
        if adapter is not None:
            adapter.tell(kind, event.session, payload)

    def reauthorise(self) -> list[str]:
        """Close (1012) what the grants no longer allow, dial what they allow now.

        Returns the names of those that are refused.
        """
        return [name for name, handle in self._handles.items() if not handle.reauthorise()]

    def revive(self, change: Change) -> list[str]:
        """Dial the connections that wait for `change`; return their names."""
        return [name for name, handle in self._handles.items() if handle.revive(change)]

    def redial(self, name: str | None) -> list[str]:
        """Dial the connection `name`, or each, because a person asked; return their names.

        Raises ConnectionFailure (`connection.unknown`, `connection.not_open`).
        """
        declared = [spec.settings.name for spec in self._specs]
        if name is not None and name not in declared:
            raise ConnectionFailure(
                "connection.unknown",
                f"there is no connection {printable(name, 80)!r}; "
                + (f"there are: {', '.join(declared)}" if declared else "none is declared"),
            )
        names = declared if name is None else [name]
        for one in names:
            self.handle(one).redial()
        return names

    def tell_refused(self, names: Collection[str]) -> None:
        """Tell the operator why the connections `names` are refused."""
        for spec in self._specs:
            if spec.settings.name not in names:
                continue
            decision = spec.authorise()
            self._ledger.note(
                decision.code or "denied.not_granted",
                decision.message or f"{spec.settings.name} is no longer allowed where it was",
                severity="error",
                scope=f"connection:{spec.settings.name}",
                hint=decision.hint,
            )

    def open_sessions(self) -> list[dict[str, Any]]:
        """Return what a new instance must know of each open session, as JSON data."""
        statuses = {name: self._handles[name].status() for name in sorted(self._handles)}
        return [
            {
                "connection": name,
                "session": one.session,
                "since": one.connected_since,
                "subprotocol": one.subprotocol,
                "ready": one.ready,
            }
            for name, one in statuses.items()
            if one.session is not None and one.state == "open"
        ]

    def still_open(self, sessions: Sequence[Mapping[str, Any]]) -> list[IngressEvent]:
        """Return the open events, marked as such, that tell a new instance of `sessions`."""
        events = []
        for one in sessions:
            about = {"subprotocol": one["subprotocol"], "since": one["since"]}
            event = self._adapters[one["connection"]].still_open(one["session"], about)
            if event is not None:
                events.append(event)
        return events

    def close(self, code: int) -> None:
        """Begin to close every connection; `closed` waits for it.

        Where the host only goes away, each is closed as its manifest says.
        """
        leaves = {spec.settings.name: spec.settings.leave_code for spec in self._specs}
        for name in tuple(self._handles):
            self._close(name, leaves[name] if code == GOING_AWAY else code, "going away")

    def _close(self, name: str, code: int, reason: str) -> None:
        handle = self._handles.pop(name)
        session = handle.status().session
        if session is not None:
            self._left[name] = (SessionId(session), handle.complete_until_ms())
        for gap in self._untold(name, handle):
            self.missing_since(name, *gap)
        task = self._loop.create_task(_end(handle, code, reason, self._masked.pop(name)))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def hold(self, queue: IngressQueue) -> None:
        """Read nothing until there is room again: the service cannot take it."""
        for spec in self._specs:
            queue.account(spec.settings.ingress).paused = True
        for handle in self._handles.values():
            handle.pause()

    def left_behind(self, events: Sequence[QueuedEvent]) -> None:
        """Let the next gap of each connection cover `events`, which were never handled."""
        for event in events:
            if event.connection is not None and event.kind in (EventKind.TEXT, EventKind.BINARY):
                self.missing_since(event.connection, event.session, received_ms(event))

    def missing_since(self, connection: str, session: SessionId | None, since_ms: int) -> None:
        """Let the gap before the next session of `connection` begin at `since_ms`, or earlier."""
        left = self._left.get(connection)
        if left is None or since_ms < left[1]:
            self._left[connection] = (left[0] if left else session, since_ms)

    def complete_until_ms(self) -> int:
        """Return until when everything that had arrived on any connection was taken."""
        now_ms = self._clock.wall_ms()
        return min((one.complete_until_ms() for one in self._handles.values()), default=now_ms)

    def missing_ms(self) -> dict[str, int]:
        """Return since when frames may be missing of each connection that has not told it yet."""
        found: dict[str, int] = {name: since_ms for name, (_, since_ms) in self._left.items()}
        for name, handle in self._handles.items():
            for _, since_ms in self._untold(name, handle):
                found[name] = min(since_ms, found.get(name, since_ms))
        return found

    def _untold(self, name: str, handle: ConnectionHandle) -> list[tuple[SessionId | None, int]]:
        """Return the gaps that the next session of a connection will tell."""
        gaps = (self._adapters[name].earlier, handle.missing())
        return [gap for gap in gaps if gap is not None]

    async def closed(self) -> None:
        """Wait until earlier connections are closed: a successor must not overlap them."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    def statuses(self) -> list[ConnectionStatus]:
        """Return what a person sees of each, by name."""
        return [self._status(name) for name in sorted(self._handles)]

    def _status(self, name: str) -> ConnectionStatus:
        status = self._handles[name].status()
        adapter = self._adapters[name]
        status.queue_drops = adapter.drops
        status.binary_ignored = adapter.binary_ignored
        status.unlisted_senders = adapter.unlisted
        status.gaps = adapter.gaps
        if adapter.sequence is not None:
            status.sequence_gaps = adapter.sequence.gaps
            status.sequence_duplicates = adapter.sequence.duplicates
            status.sequence_unread = adapter.sequence.unread
        return status


async def _end(handle: ConnectionHandle, code: int, reason: str, masked: MaskedSink) -> None:
    """Close the connection, and wait until all that it has told was passed on."""
    await handle.close(code, reason)
    await masked.settled()

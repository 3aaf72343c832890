"""The bounded ingress queue of one plugin: what waits, what is being handled, what had to go.

One queue per plugin instance keeps the order in which things happened. Each ingress has
its own bounds and overflow policy, so a noisy ingress cannot use another's room. Lifecycle events
(open, close, gap, error) are never lost: they have reserved room, and beyond it they coalesce with
one of their connection that waits already (core/coalescing.py).

    offer() ──▶ waiting ──take()──▶ in flight ──settle()──▶ gone
                 │ ▲ ▲                  │
           hold()│ │ └────give_back()───┘        (a failed or unreached event, at the front)
                 ▼ │release()
                held                             (it waits before its next attempt)

Between two attempts of an event the later events of its ingress wait too, or, where the ingress is
ordered by a key, those of its key, and from the first that has no key on all.

No frame is refused for its own size, which the target of its connection bounds: one that is larger
than half of its ingress's bytes is taken in where at most that half waits.
"""

from collections import deque
from collections.abc import Collection, Sequence
from itertools import islice

from yoi.core.coalescing import Coalesced, coalesce, since_last_frame
from yoi.core.ingress_account import EVENT_OVERHEAD_BYTES, IngressAccount, IngressPolicy, Offered
from yoi.core.keyed_holds import KeyedHolds
from yoi.limits import LIMITS, Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import (
    FEEDBACK_KINDS,
    LIFECYCLE_KINDS,
    IngressEvent,
    QueuedEvent,
)


class IngressQueue:
    """See the module docstring. Not thread-safe: it belongs to the event loop."""

    def __init__(self, policies: Sequence[IngressPolicy], limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._waiting: deque[QueuedEvent] = deque()
        self._accounts = {p.name: IngressAccount(p, self._waiting) for p in policies}
        self._ordered = KeyedHolds(
            {p.name: p.order_key for p in policies if p.order_key is not None}
        )
        self._held: dict[str, tuple[QueuedEvent, deque[QueuedEvent]]] = {}
        """Lines of ingresses of which nothing is taken, each with the event that it waits for."""
        self._first: list[IngressEvent] = []
        self._in_flight: list[QueuedEvent] = []
        self._passed: list[QueuedEvent] = []
        """The events in flight and those that they have passed, in order; empty where none were."""
        self._lifecycle = 0
        self._withheld: set[int] = set()
        """Of events that wait for the disk, by `id()`: nothing passes them."""
        self.merged: Coalesced | None = None
        """What the last offered lifecycle event has changed among those that wait."""
        self.evicted: list[QueuedEvent] = []
        """The frames that the last `DROPPED_OLDEST` cost, oldest first."""
        self._overdraft = limits.queue_overdraft_bytes

    @property
    def ingresses(self) -> Collection[str]:
        """Return the names of the ingresses that there are."""
        return self._accounts.keys()

    @property
    def depth(self) -> int:
        """Return the number of events waiting or in flight."""
        return self.waiting + len(self._in_flight)

    @property
    def bytes(self) -> int:
        """Return the bytes held by waiting and in-flight events, overhead included."""
        return sum(account.bytes for account in self._accounts.values())

    @property
    def waiting(self) -> int:
        """Return the number of events not yet taken."""
        return len(self._waiting) + sum(len(line) for _, line in self._held.values())

    @property
    def busy(self) -> bool:
        """Return whether events have been taken and not yet settled."""
        return bool(self._in_flight)

    @property
    def capacity(self) -> tuple[int, int]:
        """Return the bounds as (events, bytes), summed over the ingresses."""
        accounts = self._accounts.values()
        return sum(account.max_events for account in accounts), sum(
            account.max_bytes for account in accounts
        )

    def reshape(self, policies: Sequence[IngressPolicy]) -> list[QueuedEvent]:
        """Have these ingresses from now on; return, in order, what waits of those that are gone.

        What waits of the others stays where it is. An ingress that is ordered in another way goes
        on from its first event at once, whatever waited for a further attempt. Not while events
        are in flight.
        """
        if self._in_flight:
            raise RuntimeError("events are in flight")
        names = {p.name for p in policies}
        pointers = {p.name: p.order_key for p in policies if p.order_key is not None}
        for name in {*self._ordered.use(pointers), *(self._accounts.keys() - names)}:
            self._release_line(name)
        gone = [event for event in self._waiting if event.ingress not in names]
        for event in gone:
            self._waiting.remove(event)
            self._release(event)
            self._withheld.discard(id(event))
        self._first = [event for event in self._first if event.ingress in names]
        accounts: dict[str, IngressAccount] = {}
        for policy in policies:
            known = self._accounts.get(policy.name)
            if known is not None:
                known.use(policy)
            accounts[policy.name] = known or IngressAccount(policy, self._waiting)
        self._accounts = accounts
        return gone

    def account(self, name: str) -> IngressAccount:
        """Return what the ingress `name` holds; KeyError is a defect of the caller."""
        return self._accounts[name]

    def offer(self, event: QueuedEvent, overflow: OnFull | None = None) -> Offered:
        """Queue `event` or say why not; `overflow` is a connection's own policy.

        A lifecycle event is accepted whatever the ingress holds, or coalesces with one that waits;
        feedback is refused when its part of the reserved room is used.
        """
        account = self._accounts[event.ingress]
        if isinstance(event, IngressEvent) and event.kind in LIFECYCLE_KINDS:
            return self._offer_lifecycle(event, account)
        cost = event.size + EVENT_OVERHEAD_BYTES
        depth, used = account.depth + 1, account.bytes + cost
        if depth <= account.high_events and used <= account.high_bytes:
            account.depth, account.bytes = depth, used
            account.waiting.append(event)
            return Offered.ACCEPTED
        policy = overflow or account.overflow
        if policy is OnFull.PAUSE:
            if used > account.max_bytes + self._overdraft:
                if event.connection in account.overdrawn:
                    account.dropped += 1
                    return Offered.DISCONNECT
                account.overdrawn.add(event.connection)
            account.paused = True
            self._admit(event, account, cost)
            return Offered.PAUSE
        if depth <= account.max_events and (
            used <= account.max_bytes
            or (cost > account.high_bytes and self._bytes_waiting(account) <= account.high_bytes)
        ):
            self._admit(event, account, cost)
            return Offered.ACCEPTED
        if policy is OnFull.DROP_OLDEST:
            return self._replace_oldest(event, account, cost)
        account.dropped += 1
        return Offered.DISCONNECT if policy is OnFull.DISCONNECT else Offered.REFUSED

    def put_first(self, events: Sequence[IngressEvent]) -> None:
        """Let `events` be what is taken next: what a new instance hears before anything else.

        Those of an earlier call that still wait are forgotten: they were another instance's. They
        are few, so bounds are not checked. Not while events are in flight.
        """
        for event in self._first:
            account = self._accounts[event.ingress]
            if event in account.waiting:
                account.waiting.remove(event)
                self._release(event)
        self._first = list(events)
        self.restore(events)

    def waits(self, kind: str, session: str) -> bool:
        """Return whether an event of `kind` about `session` waits or is in flight."""
        lines = (self._waiting, self._in_flight, *(line for _, line in self._held.values()))
        return any(e.kind == kind and e.session == session for line in lines for e in line)

    def take(self, max_events: int, max_bytes: int) -> list[QueuedEvent]:
        """Return the next events, at least one if any waits; they stay accounted until settled.

        At most `max_events`, and no more than `max_bytes` of payload unless the first alone exceeds
        it. All are of one ingress (it has one deadline), and an event on a further attempt comes
        alone, so that a failure can be laid at its door. Not while events are in flight.
        """
        if self._in_flight:
            raise RuntimeError("events are in flight")
        if self._ordered.held:
            return self._take_around(max_events, max_bytes)
        waiting, taken, withheld = self._waiting, self._in_flight, self._withheld
        if not waiting or (withheld and id(waiting[0]) in withheld):
            return []
        first = waiting.popleft()
        taken.append(first)
        if first.attempt > 1:
            return [first]
        ingress, size = first.ingress, first.size
        while waiting and len(taken) < max_events:
            event = waiting[0]
            size += event.size
            if size > max_bytes or event.attempt > 1 or event.ingress != ingress:
                break
            if withheld and id(event) in withheld:
                break
            taken.append(waiting.popleft())
        return list(taken)

    def settle(self, count: int) -> None:
        """Forget the first `count` events in flight: each has its outcome."""
        for event in self._in_flight[:count]:
            self._release(event)
        del self._in_flight[:count]
        if not self._in_flight:
            self._passed.clear()

    def abandon(self) -> list[QueuedEvent]:
        """Forget what is in flight and return it."""
        abandoned = list(self._in_flight)
        self.settle(len(abandoned))
        return abandoned

    def give_back(self) -> None:
        """Put what is still in flight back, in order: to the front, or behind what it passed."""
        waiting, back = self._waiting, self._in_flight
        if self._passed:
            ours = {id(event) for event in back}
            back = []
            for event in self._passed:
                if id(event) in ours:
                    back.append(event)
                elif waiting and waiting[0] is event:
                    back.append(waiting.popleft())
        waiting.extendleft(reversed(back))
        self._in_flight.clear()
        self._passed.clear()

    def withhold(self, event: QueuedEvent) -> None:
        """Let `event`, which waits, be taken only once it is admitted."""
        self._withheld.add(id(event))

    def admit(self, event: QueuedEvent) -> None:
        """Let `event` be taken in its turn: the disk has it."""
        self._withheld.discard(id(event))

    def restore(self, events: Sequence[QueuedEvent]) -> None:
        """Put back to the front, in order, what was accepted before; bounds are not checked."""
        for event in reversed(events):
            account = self._accounts[event.ingress]
            account.depth += 1
            account.bytes += event.size + EVENT_OVERHEAD_BYTES
            if _is_lifecycle(event):
                self._lifecycle += 1
            account.waiting.appendleft(event)

    def hold(self, event: QueuedEvent) -> None:
        """Keep `event`, the first of those it is ordered with, waiting until `release`.

        Those that may not pass it wait too, in order, while others go on.
        """
        if self._ordered.hold(event):
            return
        ingress = event.ingress
        if ingress in self._held:
            return
        held = deque(other for other in self._waiting if other.ingress == ingress)
        others = [other for other in self._waiting if other.ingress != ingress]
        self._waiting.clear()
        self._waiting.extend(others)
        self._accounts[ingress].waiting = held
        self._held[ingress] = event, held

    def release(self, event: QueuedEvent) -> None:
        """Let `event` be taken, and what waits for it; nothing where it is not held."""
        if self._ordered.release(event):
            return
        held = self._held.get(event.ingress)
        if held is not None and held[0] is event:
            self._release_line(event.ingress)

    def _release_line(self, ingress: str) -> None:
        """Let what waits of `ingress` go on, before what waits of others."""
        held = self._held.pop(ingress, None)
        if held is not None:
            _, line = held
            self._waiting.extendleft(reversed(line))
            if self._passed:
                self._passed[:0] = line
            self._accounts[ingress].waiting = self._waiting

    def resumable(self) -> list[str]:
        """Return the ingresses that were paused and have room again; marks them resumed."""
        names: list[str] = []
        for account in self._accounts.values():
            if (
                account.paused
                and account.depth <= account.high_events // 2
                and account.bytes <= account.high_bytes // 2
            ):
                account.paused = False
                account.overdrawn.clear()
                names.append(account.name)
        return names

    def clear(self) -> list[QueuedEvent]:
        """Forget everything, in flight too, and return it, in order."""
        self.give_back()
        for ingress in tuple(self._held):
            self._release_line(ingress)
        self._ordered.clear()
        self._first = []
        cleared = list(self._waiting)
        for event in cleared:
            self._release(event)
        self._waiting.clear()
        self._withheld.clear()
        return cleared

    def reserved_room(self, kind: str) -> bool:
        """Return whether an event of this lifecycle kind would be accepted now.

        Feedback about a plugin's own commands gets half of the reserved room, so that a plugin
        whose commands all fail still hears what becomes of its connections.
        """
        room = self._limits.queue_lifecycle_events
        return self._lifecycle < (max(1, room // 2) if kind in FEEDBACK_KINDS else room)

    def _take_around(self, max_events: int, max_bytes: int) -> list[QueuedEvent]:
        """Take the next events that pass those which are held, as `take` does."""
        closed: dict[str, set[str | None]] = {}
        chosen: list[int] = []
        size = 0
        first: QueuedEvent | None = None
        for index, event in enumerate(self._waiting):
            if id(event) in self._withheld or len(chosen) >= max_events:
                break
            if self._ordered.must_wait(event, closed.setdefault(event.ingress, set())):
                continue
            if first is not None and (
                event.ingress != first.ingress or event.attempt > 1 or size + event.size > max_bytes
            ):
                break
            first = first or event
            size += event.size
            chosen.append(index)
            if first.attempt > 1:
                break
        self._in_flight += [self._waiting[index] for index in chosen]
        if chosen and chosen[-1] >= len(chosen):
            self._passed = list(islice(self._waiting, chosen[-1] + 1))
        for index in reversed(chosen):
            del self._waiting[index]
        return list(self._in_flight)

    def _offer_lifecycle(self, event: IngressEvent, account: IngressAccount) -> Offered:
        self.merged = None
        if not self.reserved_room(event.kind):
            if event.kind in FEEDBACK_KINDS:
                account.dropped += 1
                return Offered.REFUSED
            if self._coalesced(event, account):
                return Offered.COALESCED
            # A frame stands between: there are few of these for each frame.
        self._lifecycle += 1
        self._admit(event, account, event.size + EVENT_OVERHEAD_BYTES)
        return Offered.ACCEPTED

    def _coalesced(self, event: IngressEvent, account: IngressAccount) -> bool:
        tail = since_last_frame(account.waiting, event.connection)
        before = {id(other): other.size for other in tail}
        self.merged = merged = coalesce(event, tail)
        if merged is None:
            return False
        account.bytes += merged.into.size - before[id(merged.into)] if merged.into else 0
        for gone in merged.without:
            account.waiting.remove(gone)
            self._lifecycle -= 1
            account.depth -= 1
            account.bytes -= before[id(gone)] + EVENT_OVERHEAD_BYTES
        return not merged.joins

    def _replace_oldest(self, event: QueuedEvent, account: IngressAccount, cost: int) -> Offered:
        # Decide first, drop then: an event that cannot fit must not cost others their place. Only
        # frames of its own connection go, because that is where the loss is reported.
        victims: list[int] = []
        depth, used = account.depth + 1, account.bytes + cost
        # A large frame has room where what waits is small, whatever is in flight.
        enough = account.max_bytes
        if cost > account.high_bytes:
            enough = max(enough, used - self._bytes_waiting(account) + account.high_bytes)
        for index, oldest in enumerate(account.waiting):
            if depth <= account.max_events and used <= enough:
                break
            if oldest.connection == event.connection and _is_payload_of(oldest, account):
                victims.append(index)
                depth -= 1
                used -= oldest.size + EVENT_OVERHEAD_BYTES
        if depth > account.max_events or used > enough:
            account.dropped += 1
            return Offered.REFUSED
        self.evicted = [account.waiting[index] for index in victims]
        for index in reversed(victims):
            del account.waiting[index]
        for gone in self.evicted:
            self._release(gone)
        account.dropped += len(self.evicted)
        self._admit(event, account, cost)
        return Offered.DROPPED_OLDEST

    def _bytes_waiting(self, account: IngressAccount) -> int:
        """Return what `account` holds beside what is in flight."""
        return account.bytes - sum(
            event.size + EVENT_OVERHEAD_BYTES
            for event in self._in_flight
            if event.ingress == account.name
        )

    def _admit(self, event: QueuedEvent, account: IngressAccount, cost: int) -> None:
        account.depth += 1
        account.bytes += cost
        account.waiting.append(event)

    def _release(self, event: QueuedEvent) -> None:
        account = self._accounts[event.ingress]
        account.depth -= 1
        account.bytes -= event.size + EVENT_OVERHEAD_BYTES
        if self._ordered.keys:
            self._ordered.keys.pop(id(event), None)
        if isinstance(event, IngressEvent) and _is_lifecycle(event):  # messages are spared the call
            self._lifecycle -= 1


def _is_payload_of(event: QueuedEvent, account: IngressAccount) -> bool:
    return event.ingress == account.name and not _is_lifecycle(event)


def _is_lifecycle(event: QueuedEvent) -> bool:
    return isinstance(event, IngressEvent) and event.kind in LIFECYCLE_KINDS

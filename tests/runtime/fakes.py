"""Small stand-ins for the sandbox and the driver, so that the runtime's rules are tested alone.

The same rules run against the real parts in test_frame_path.py.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from tests.runtime.heard import Heard

from yoi.connections import SystemResolver
from yoi.core.captures import HandleTable
from yoi.core.halts import Change
from yoi.core.ingress_account import IngressPolicy
from yoi.core.session_effects import OpenReason
from yoi.core.session_values import SessionValues
from yoi.errors import ConnectionFailure, InsertionError, PermissionDenied, SecretError
from yoi.journal.log import Journal
from yoi.journal.memory import MemoryJournal
from yoi.journal.ownership import Ownership, SoleOwner
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.permissions import Authority, Decision, JsonPointer, PermissionSet, Url, own_target
from yoi.permissions.connection_settings import ConnectionSettings, Dedupe, Deliver, OnFull
from yoi.protocol.ingress import EventKind, QueuedEvent
from yoi.protocol.outcomes import NO_COMMANDS, Outcome
from yoi.protocol.status import ConnectionStatus
from yoi.runtime.hostcalls import ServiceHostCalls
from yoi.runtime.pull_sockets import PullDialler, PullSockets
from yoi.runtime.pull_targets import PullTargets
from yoi.runtime.secret_injector import SecretInjector, Value
from yoi.runtime.service import Service
from yoi.runtime.service_requests import ServiceRequests
from yoi.runtime.service_spec import ConnectionSpec, HostContext, IngressRules, ServiceSpec
from yoi.runtime.thread_bridge import Mailbox
from yoi.testing import ManualClock
from yoi.testing.connector import MemoryConnector
from yoi.testing.timers import ManualTimers
from yoi.types import InstanceName, Secret, SessionId
from yoi.workers.notify import Notification, Notified, Notifier
from yoi.workers.tools import PluginTool

ALLOWED = Decision(allowed=True)


QUICK = Limits(retry_first_ms=0, effect_record_ms=0)
"""Attempts follow at once: a unit test waits for nothing."""


class NoSecrets:
    """A host without a secret store: every secret is missing."""

    def get(self, name: str) -> Value:
        """Raise SecretError `secret.missing`."""
        raise SecretError(
            "secret.missing",
            f"there is no secret {name!r} in the store",
            hint=f"yoi secret set {name}",
        )

    def secret(self, name: str) -> Secret | None:
        """Return None."""
        return None

    async def replace(self, name: str, value: str) -> None:
        """Raise SecretError `secret.missing`: what is not there cannot be replaced."""
        self.get(name)


class InlineTurns:
    """Runs each turn in its own loop step: serial, and nothing to wait for."""

    def __init__(self) -> None:
        self.held: deque[Callable[[], None]] | None = None
        self._only = ""
        self.busy = False

    def submit(self, key: str, turn: Callable[[], None]) -> None:
        if self.held is not None and self._only in ("", key):
            self.held.append(turn)
        else:
            asyncio.get_running_loop().call_soon(turn)

    def hold(self, only: str = "") -> None:
        """Run nothing more, or nothing of the key `only`, until `release`."""
        self.held = deque()
        self._only = only

    def release(self) -> None:
        held, self.held = self.held or deque(), None
        for turn in held:
            asyncio.get_running_loop().call_soon(turn)


class FakeInstance:
    """Answers with `answer(event)`, which may raise; records what it saw."""

    def __init__(self, answer: Callable[[QueuedEvent], Outcome] = lambda _: NO_COMMANDS) -> None:
        self.answer = answer
        self.seen: list[tuple[str, int]] = []
        self.batches: list[int] = []
        self.calls: list[str] = []

    def start(self, config_json: str, budget_ms: int) -> dict[str, Any]:
        self.calls.append("start")
        return {"state": "ready"}

    def dispatch(self, events: Sequence[QueuedEvent], budget_ms: int) -> list[Outcome]:
        self.batches.append(len(events))
        outcomes = []
        for event in events:
            self.seen.append((event.event_id, event.attempt))
            outcomes.append(self.answer(event))
        return outcomes

    def call_tool(self, name: str, input_json: str, budget_ms: int, call_id: str) -> str:
        return '{"summary": "done"}'

    def status(self, budget_ms: int) -> dict[str, Any]:
        return {"state": "well"}

    def stop(self, budget_ms: int) -> dict[str, Any]:
        self.calls.append("stop")
        return {}

    def close(self) -> None:
        self.calls.append("close")

    def take_output(self) -> list[Any]:
        return []


class FakeLink:
    """A connection that is open when told so."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.session: SessionId | None = None
        self.sent: list[tuple[SessionId | None, Any]] = []
        self.log: list[str] = []
        self.closed = False
        self._count = 0

    def start(self) -> None:
        self.log.append("start")

    def arrive(self) -> SessionId:
        """Announce a new session."""
        self._count += 1
        self.session = SessionId(f"session{self._count}")
        self.adapter.opened(self.session, None, "127.0.0.1", OpenReason.FIRST)
        return self.session

    def receive(self, text: str, in_reply_to: str | None = None) -> None:
        assert self.session is not None
        self.adapter.text(self.session, text, len(text), in_reply_to)

    def end(self, code: int = 1006) -> None:
        assert self.session is not None
        session, self.session = self.session, None
        self.adapter.closed(session, code, "", False)

    def _send(self, session: SessionId | None, payload: Any) -> None:
        if self.session is None:
            raise ConnectionFailure("connection.not_open", "not open")
        if session not in (None, self.session):
            raise ConnectionFailure("connection.session_ended", "that session has ended")
        self.sent.append((session, payload))

    send_text = _send
    send_binary = _send

    def values(self, session: SessionId | None = None) -> SessionValues:
        raise InsertionError("insert.place", "no session")

    open_questions: tuple[str, ...] = ()

    def require_question(self, session: SessionId | None, at: JsonPointer) -> None:
        pass

    def asked(
        self, session: SessionId | None, question: str, at: JsonPointer, number: int | str
    ) -> SessionId | None:
        return session

    def give_up(self, question: str | None) -> None:
        pass

    def open(self, target: Any = None) -> None:
        self.log.append(f"open {target}")

    def close_session(self, code: int = 1000, reason: str = "") -> None:
        self.log.append(f"close_session {code}")

    def reconnect(self, code: int = 1000, reason: str = "") -> None:
        self.log.append("reconnect")

    def stop(self, code: int = 1000, reason: str = "") -> None:
        self.log.append("stop")

    def ready(self) -> None:
        self.log.append("ready")

    def heartbeat(self, spec: Any) -> None:
        self.log.append("heartbeat")

    def autoreply(self, reply: Any) -> None:
        self.log.append("autoreply")

    def pause(self, why: str = "") -> None:
        self.log.append("pause")

    def hold_reading(self) -> None:
        self.log.append("hold")

    def release_reading(self) -> None:
        self.log.append("release")

    def missing(self) -> tuple[SessionId, int] | None:
        return None

    def complete_until_ms(self) -> int:
        return 0

    def resume(self) -> None:
        self.log.append("resume")

    def reauthorise(self) -> bool:
        return True

    def revive(self, change: Change) -> bool:
        self.log.append(f"revive {change}")
        return False

    def redial(self) -> None:
        self.log.append("redial")

    def overflow(self) -> None:
        self.log.append("overflow")

    async def close(self, code: int, reason: str) -> None:
        self.log.append(f"close {code}")
        self.closed = True
        if self.session is not None:
            self.end(code)

    def status(self) -> ConnectionStatus:
        return ConnectionStatus(
            name="gateway",
            ingress="events",
            url="ws://x/",
            state="open",
            session=self.session,
            connected_since="2026-01-01T00:00:00.000Z" if self.session else None,
        )


class NoWorkers:
    """A notifier of a host without workers."""

    async def notify(self, notification: Notification) -> Notified:
        raise PermissionDenied("denied.not_granted", f"no worker {notification.worker}")


async def no_request(prepared: Any, authorise: Any) -> Any:
    """Send nothing: no request is expected."""
    raise AssertionError("no request is expected")


class Bench:
    """One service with fakes all round."""

    def __init__(
        self,
        instances: Sequence[FakeInstance],
        *,
        overflow: OnFull = OnFull.PAUSE,
        max_events: int = 64,
        authorise: Callable[[], Decision] = lambda: ALLOWED,
        limits: Limits = QUICK,
        deliver: frozenset[EventKind] = frozenset(EventKind),
        told_of_start: tuple[str, ...] = (),
        may_notify: Callable[[str], Decision] = lambda _: ALLOWED,
        notifier: Notifier | None = None,
        asked: PermissionSet | None = None,
        send: Callable[[Any, Any], Awaitable[Any]] | None = None,
        durable: bool = False,
        order_key: JsonPointer | None = None,
        dedupe: Dedupe | None = None,
        journal: Journal | None = None,
        state: StateStore | None = None,
        clock: ManualClock | None = None,
        secrets: Any = None,
        link: "type[FakeLink] | Callable[[Any], FakeLink] | None" = None,
        ownership: Ownership | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = clock or ManualClock()
        self.turns = InlineTurns()
        self.diagnostics = Heard()
        self.links: list[FakeLink] = []
        self._instances = deque(instances)

        def open_link(adapter: Any) -> FakeLink:
            self.links.append((link or FakeLink)(adapter))
            return self.links[-1]

        asked = asked or PermissionSet()
        authority = Authority(asked, asked, plugin="echo")
        held = secrets or NoSecrets()
        injector = SecretInjector("echo", authority, held, HandleTable(limits), self.clock)

        requests = ServiceRequests("echo", authority, injector, send or no_request, NoSecrets())
        self._limits = limits
        self._send = send or no_request
        self.state = state = state or StateStore(None, limits)
        self.journal = journal or MemoryJournal()
        self.spec = ServiceSpec(
            name=InstanceName("echo"),
            fingerprint="1",
            authority=authority,
            reference="project:echo",
            version="0.1.0",
            digest="sha256:" + "0" * 64,
            runtime="python",
            config=None,
            load=self._load,
            ingresses=(
                IngressPolicy("events", overflow, max_events, order_key=order_key, dedupe=dedupe),
            ),
            rules={"events": IngressRules(deadline_ms=100, attempts=3, durable=durable)},
            told_of_start=told_of_start,
            tools=(PluginTool("echo", "t", "", {"type": "object"}, "project:echo", "sha256:0"),),
            may_notify=may_notify,
            injector=injector,
            requests=requests,
            calls=self._calls(authority, injector, requests),
            connections=(
                ConnectionSpec(
                    ConnectionSettings(
                        name="gateway",
                        ingress="events",
                        url=Url.parse("ws://x.example/"),
                        target=own_target(Url.parse("ws://x.example/")),
                        deliver=frozenset(kind for kind in Deliver if kind.event_kind in deliver),
                        on_full=overflow,
                    ),
                    authorise,
                    open_link,
                    adopt=lambda link: True,
                    secret_uses=frozenset,
                ),
            ),
        )
        self.around = HostContext(
            self.turns,
            Mailbox(self.loop),
            self.loop,
            self.clock,
            lambda: 0.5,
            self.diagnostics.append,
            state,
            limits,
            notifier or NoWorkers(),
            self.journal,
            ownership=ownership or SoleOwner(),
        )
        self.service = Service(self.spec, self.around)

    def version(self, *instances: FakeInstance | BaseException, **changes: Any) -> ServiceSpec:
        """Return another version of the plugin, which loads `instances` one after the other."""
        asked = changes.pop("asked", None) or self.spec.authority.requested
        authority = Authority(asked, asked, plugin="echo")
        injector = SecretInjector(
            "echo", authority, NoSecrets(), HandleTable(self._limits), self.clock
        )
        requests = ServiceRequests("echo", authority, injector, self._send, NoSecrets())
        loads = deque(instances)
        version = str(changes.pop("version", "0.2.0"))
        return replace(
            self.spec,
            fingerprint=version,
            version=version,
            digest=f"sha256:{version}",
            authority=authority,
            injector=injector,
            requests=requests,
            calls=self._calls(authority, injector, requests),
            load=lambda: _loaded(loads),
            **changes,
        )

    def _calls(
        self, authority: Authority, injector: SecretInjector, requests: ServiceRequests
    ) -> ServiceHostCalls:
        dialler = PullDialler(
            MemoryConnector(self.clock.monotonic),
            SystemResolver(self._limits),
            self.clock,
            self._limits,
            ManualTimers(self.clock).call_later,
        )
        sockets = PullSockets(dialler, injector.masker, "echo", requests.background)
        targets = PullTargets(authority, injector, {})
        return ServiceHostCalls(
            "echo", self.loop, nullcontext, self.state, requests, sockets, targets, self._limits
        )

    def _load(self) -> FakeInstance:
        return _loaded(self._instances)

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    async def settle(self) -> None:
        """Let everything that is due happen: the loop is never waited for by time."""
        for _ in range(200):
            await asyncio.sleep(0)

    def codes(self) -> list[str]:
        return self.diagnostics.codes


def _loaded(instances: deque[Any]) -> FakeInstance:
    instance = instances.popleft()
    if isinstance(instance, BaseException):
        raise instance
    assert isinstance(instance, FakeInstance)
    return instance

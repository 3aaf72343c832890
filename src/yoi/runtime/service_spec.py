"""What a service is made of, what it drives, and what the host lends it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from yoi.connections import ConnectionSink
from yoi.connections.client_certificate import ClientCertificate
from yoi.core.halts import Change
from yoi.core.ingress_account import IngressPolicy
from yoi.core.redaction import Masker
from yoi.core.senders import SenderFilter
from yoi.core.session_values import SessionValues
from yoi.errors import YoiError
from yoi.journal.log import Journal
from yoi.journal.memory import MemoryJournal
from yoi.journal.ownership import Ownership, SoleOwner
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.permissions import Authority, Decision, JsonPointer, Url
from yoi.permissions.connection_settings import ConnectionSettings, Dedupe
from yoi.permissions.secrets import Binding
from yoi.protocol.diagnostics import Diagnostic
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import Outcome
from yoi.protocol.status import ConnectionStatus
from yoi.runtime.connection_commands import ControlledConnection
from yoi.runtime.hostcalls import ServiceHostCalls
from yoi.runtime.secret_injector import SecretInjector
from yoi.runtime.service_requests import ServiceRequests
from yoi.runtime.thread_bridge import Mailbox, Turns
from yoi.types import Clock, InstanceName, SessionId
from yoi.workers.notify import Notifier
from yoi.workers.tools import PluginTool


class Instance(Protocol):
    """A sandbox guest (`yoi.sandbox.Guest`): blocking, worker threads only."""

    def start(self, config_json: str, budget_ms: int) -> dict[str, Any]:
        """Initialise the plugin and return its status."""
        ...

    def dispatch(self, events: Sequence[QueuedEvent], budget_ms: int) -> list[Outcome]:
        """Return the outcomes of a prefix of `events`, at least one."""
        ...

    def call_tool(self, name: str, input_json: str, budget_ms: int, call_id: str = "") -> str:
        """Return the tool's output as JSON."""
        ...

    def status(self, budget_ms: int) -> dict[str, Any]:
        """Return the plugin's own status."""
        ...

    def stop(self, budget_ms: int) -> dict[str, Any]:
        """Let the plugin end its work."""
        ...

    def close(self) -> None:
        """Drop the instance."""
        ...

    def take_output(self) -> Sequence[Any]:
        """Return what the guest printed and logged since the last call."""
        ...


class ConnectionHandle(ControlledConnection, Protocol):
    """A host-owned connection (`yoi.connections.HostConnection`)."""

    def start(self) -> None:
        """Begin to dial, where the manifest says so."""
        ...

    def send_text(self, session: SessionId | None, text: str) -> None:
        """Queue one text message; raises ConnectionFailure at once."""
        ...

    def send_binary(self, session: SessionId | None, data: bytes) -> None:
        """Queue one binary message; raises ConnectionFailure at once."""
        ...

    def values(self, session: SessionId | None = None) -> SessionValues:
        """Return the last values and the counter of that session."""
        ...

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Return the ids of the questions that wait for their answer."""
        ...

    def require_question(self, session: SessionId | None, at: JsonPointer) -> None:
        """Raise ConnectionFailure unless one more may be asked on `session`, answered at `at`."""
        ...

    def asked(
        self, session: SessionId | None, question: str, at: JsonPointer, number: int | str
    ) -> SessionId | None:
        """Wait on `session` for the answer to `question`, which was sent; return which it is."""
        ...

    def give_up(self, question: str | None) -> None:
        """Wait no more for the answer to `question`, or (None) for any."""
        ...

    def pause(self, why: str = ...) -> None:
        """Stop reading."""
        ...

    def hold_reading(self) -> None:
        """Report no further message of any session until `release_reading`."""
        ...

    def release_reading(self) -> None:
        """Report messages again."""
        ...

    def missing(self) -> tuple[SessionId, int] | None:
        """Return after which session frames may be missing, and since which wall moment."""
        ...

    def complete_until_ms(self) -> int:
        """Return the last wall moment at which everything that had arrived was reported."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def overflow(self) -> None:
        """End the session because the plugin does not keep up."""
        ...

    def reauthorise(self) -> bool:
        """Close with 1012 what policy no longer allows; return whether it is allowed."""
        ...

    def govern(
        self,
        authorise: Callable[[Url], Decision],
        masker: Callable[[], Masker],
        certificate: Callable[[], ClientCertificate | None],
    ) -> bool:
        """Ask these from now on; return whether policy says the same as before."""
        ...

    def revive(self, change: Change) -> bool:
        """Dial again where `change` is what the connection waits for; return whether it is."""
        ...

    def redial(self) -> None:
        """Dial now because a person asked."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close, and do not dial again."""
        ...

    def status(self) -> ConnectionStatus:
        """Return what a person sees."""
        ...


@dataclass(frozen=True, slots=True)
class IngressRules:
    """How events of one ingress are dispatched."""

    deadline_ms: int
    attempts: int
    durable: bool = False
    """Whether its events are written to the service's log before the plugin sees them."""


SecretUses = frozenset[tuple[str, Binding, str | None]]
"""The plugin's name of a secret, where it goes, and in a grant its name in the store."""


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """What the service needs to know of one declared connection."""

    settings: ConnectionSettings
    authorise: Callable[[], Decision]
    """Decides about it as it stands in the manifest, under the grants in force."""
    open: Callable[[ConnectionSink], ConnectionHandle]
    """Make the connection for this sink; nothing is dialled before `ConnectionHandle.start`."""
    adopt: Callable[[ConnectionHandle], bool]
    """Put the policy of this spec over a connection that an earlier version of the plugin opened;
    return whether it says the same of it."""
    secret_uses: Callable[[], SecretUses]
    """Which secrets both sides let into the connection's messages now, and where."""

    def continues(self, earlier: "ConnectionSpec") -> bool:
        """Return whether a session of `earlier` may go on as one of this."""
        same = self.settings == earlier.settings
        return same and self.secret_uses() == earlier.secret_uses()


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Everything a service is made of, already resolved and authorised."""

    name: InstanceName
    fingerprint: str
    """Changes with anything that needs a new service: digest, surfaces, config."""
    authority: Authority
    """Shared by everything that asks for this service, so that new grants hold at once."""
    reference: str
    version: str
    digest: str
    runtime: str
    config: Mapping[str, Any] | None
    load: Callable[[], Instance]
    """Make a fresh instance; blocking, run on a worker thread."""
    ingresses: tuple[IngressPolicy, ...]
    rules: Mapping[str, IngressRules]
    connections: tuple[ConnectionSpec, ...]
    told_of_start: tuple[str, ...]
    """Ingresses that get a `service_started` event, the plugin's chance to make a first move."""
    injector: SecretInjector
    requests: ServiceRequests
    calls: ServiceHostCalls
    """What the instance may ask of the host while it runs."""
    tools: tuple[PluginTool, ...]
    """The declared tools that the operator granted."""
    may_notify: Callable[[str], Decision]
    """Decides whether the plugin may notify the worker of that name."""
    senders: SenderFilter = field(default_factory=SenderFilter)
    """Who may speak through the plugin, by the operator's rules."""
    fault: YoiError | None = None
    """Why the service could not be made; it is shown as failed, and nothing of it runs."""

    @property
    def expected_ms(self) -> dict[str, int]:
        """Return how long each connection may be silent, where its manifest says so."""
        settings = [one.settings for one in self.connections]
        return {s.name: s.expect_every_ms for s in settings if s.expect_every_ms is not None}

    @property
    def disk(self) -> frozenset[str]:
        """Return the ingresses whose events outlive the host."""
        return frozenset(name for name, rules in self.rules.items() if rules.durable)

    def leads_to(self, later: "ServiceSpec") -> bool:
        """Return whether a service of this can go on as `later` without being made anew.

        The ingresses whose events outlive the host must be the same: a log is theirs. So must be
        what is remembered of the events of each, in the log or for `dedupe`.
        """
        sound = self.fault is None and later.fault is None
        return sound and self.disk == later.disk and self._remembered == later._remembered

    @property
    def _remembered(self) -> set[tuple[str, Dedupe | None, JsonPointer | None]]:
        """Return what is remembered of the events of each ingress: where its ids and keys stand."""
        return {
            (one.name, one.dedupe, one.order_key if self.disk else None)
            for one in self.ingresses
            if one.dedupe is not None or (self.disk and one.order_key is not None)
        }

    def failed(self, fault: YoiError) -> "ServiceSpec":
        """Return what is left of the service where `fault` came up in making it: a name to show.

        Its fingerprint is another one, so that it is made again when the settings are applied.
        """
        return replace(
            self,
            fingerprint=f"{self.fingerprint}-failed",
            ingresses=(),
            rules={},
            connections=(),
            told_of_start=(),
            tools=(),
            fault=fault,
        )


class ServiceObserver(Protocol):
    """Shows the services of a host to observers. Neither method waits or raises."""

    def follow_services(self) -> None:
        """Take note that other services are there now."""
        ...

    def diagnosed(self, service: str, entry: Diagnostic) -> None:
        """Take note of one diagnostic of `service`."""
        ...


class NoObserver:
    """The observer of a host that cannot be watched."""

    def follow_services(self) -> None:
        """Do nothing."""

    def diagnosed(self, service: str, entry: Diagnostic) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class HostContext:
    """What the host lends to each service."""

    turns: Turns
    mailbox: Mailbox
    loop: asyncio.AbstractEventLoop
    clock: Clock
    rng: Callable[[], float]
    listen: Callable[[Diagnostic], None]
    state: StateStore
    limits: Limits
    notifier: Notifier
    journal: Journal = field(default_factory=MemoryJournal)
    """Where the logs of durable services are."""
    observer: ServiceObserver = field(default_factory=NoObserver)
    ownership: Ownership = field(default_factory=SoleOwner)
    proven: Callable[[str, str], None] = lambda name, digest: None
    """Hears that a version of a service, by its digest, has handled something."""

"""A host-call desk over real sockets, asked as a guest asks: on a thread, inside a budget."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.runtime.fakes import NoSecrets

from yoi.connections import RequestClient, SocketConnector, SystemResolver
from yoi.connections.background_work import BackgroundWork
from yoi.core.captures import Captured, HandleTable
from yoi.core.redaction import Masker
from yoi.journal.state import StateStore
from yoi.limits import LIMITS, Limits
from yoi.permissions import Authority, PermissionSet
from yoi.runtime.hostcalls import ServiceHostCalls
from yoi.runtime.pull_sockets import PullDialler, PullSockets
from yoi.runtime.pull_targets import PullTargets
from yoi.runtime.secret_injector import SecretInjector
from yoi.runtime.service_requests import ServiceRequests
from yoi.sandbox.state import GuestState, current
from yoi.testing import ManualClock
from yoi.testing.timers import ManualTimers

if TYPE_CHECKING:
    from yoi.errors import YoiError

PULL = {"kind": "host_api", "api": "websocket"}
REQUEST = {"kind": "host_api", "api": "request"}
ANY_ADDRESS = {"scheme": "ws", "host": "127.0.0.1"}


def target(port: int, **more: Any) -> dict[str, Any]:
    """Return a WebSocket target for a server of the test."""
    return {"scheme": "ws", "host": "127.0.0.1", "port": port, **more}


def having(*permissions: Any, websocket: Any = (), request: Any = ()) -> PermissionSet:
    return PermissionSet.parse(list(permissions), list(websocket), list(request))


@dataclass
class Host:
    """What the plugins of one host share."""

    limits: Limits = LIMITS
    clock: ManualClock = field(default_factory=ManualClock)
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        self.timers = ManualTimers(self.clock)
        self.state = StateStore(None, self.limits)
        self.handles = HandleTable(self.limits)
        resolver = SystemResolver(self.limits)
        self.dialler = PullDialler(
            SocketConnector(limits=self.limits, clock=self.clock),
            resolver,
            self.clock,
            self.limits,
            self.timers.call_later,
        )
        self.requests = RequestClient(resolver, self.clock, self.limits)


class Desk:
    """One service's desk. `asked` and `granted` are what its two keys hold."""

    def __init__(
        self,
        asked: PermissionSet,
        granted: PermissionSet | None = None,
        *,
        name: str = "mine",
        host: Host | None = None,
        **limits: int,
    ) -> None:
        self.host = host or Host(replace(LIMITS, **limits))
        self.authority = authority = Authority(
            asked, asked if granted is None else granted, plugin=name
        )
        self._injector = injector = SecretInjector(
            name, authority, NoSecrets(), self.host.handles, self.host.clock
        )
        self.refused: list[YoiError] = []
        self.calls = ServiceHostCalls(
            name,
            asyncio.get_running_loop(),
            self.host.waiting,
            self.host.state,
            ServiceRequests(name, authority, injector, self.host.requests.send, NoSecrets()),
            PullSockets(self.host.dialler, injector.masker, name, BackgroundWork()),
            PullTargets(authority, injector, {}),
            self.host.limits,
        )
        self.calls.begin(self.refused.append)

    def holds(self, value: str) -> None:
        """Let `value` be one that servers give back: masked from now on."""
        self._injector.hide(Captured("value", value))

    def masker(self) -> Masker:
        """Return what masks what this service hears, now."""
        return self._injector.masker()

    async def ask(self, op: str, *arguments: Any, budget: float = 20.0) -> dict[str, Any]:
        """Return the answer of one call, as a guest with `budget` seconds left gets it."""
        return await asyncio.to_thread(self.ask_here, op, arguments, budget)

    def ask_here(self, op: str, arguments: Any, budget: float = 20.0) -> dict[str, Any]:
        """Return the answer, on this thread."""
        state = GuestState(self.host.limits, self.calls)
        state.begin(budget)
        current.state = state
        try:
            answer: dict[str, Any] = json.loads(self.calls(op, json.dumps(arguments)))
            return answer
        finally:
            current.state = None

    async def ok(self, op: str, *arguments: Any) -> Any:
        """Return what a call that must succeed answers."""
        answer = await self.ask(op, *arguments)
        assert "ok" in answer, answer
        return answer["ok"]

    async def code(self, op: str, *arguments: Any, budget: float = 20.0) -> str:
        """Return the code of a call that must be refused."""
        answer = await self.ask(op, *arguments, budget=budget)
        assert "error" in answer, answer
        code: str = answer["error"]["code"]
        return code

    async def end(self) -> None:
        """Let the instance stop, and wait for its sockets."""
        self.calls.end()
        await self.calls.gone()

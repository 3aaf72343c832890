"""Which commands reach the machine that runs what they are about, wherever they are given.

The list is closed, at both ends: a machine asks for these, and carries out these. Nothing that
decides what may run (trust, enabling, secrets) is among them, and what is asked of this process's
own (its settings, MCP clients, its backend) is not either.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from yoi.cluster.asking import Asking, Process, Told
from yoi.control.server import Method
from yoi.control.wire import Answer
from yoi.errors import ClusterError, ControlError, YoiError, run_elsewhere
from yoi.host.commands import COMMAND
from yoi.limits import LIMITS, Limits

Params = Mapping[str, Any]
_GONE = frozenset({"service.elsewhere", "worker.elsewhere", "cluster.unit_unknown"})
"""What a machine says that has it no more: nothing was done."""
_NOT_DONE = _GONE | {"cluster.not_listening"}
_REMEDY = (
    "yoi cluster leases\n"
    "machines that had a key from the first start take commands for each other: "
    "docs/how-to/several-machines.md"
)
_AT = "@"
"""Parts a follower's key from the process that has given it out."""


def _service(params: Params) -> str:
    return f"service:{params['name']}"


def _worker(params: Params) -> str:
    return f"worker:{params['name']}"


ABOUT: Mapping[str, Callable[[Params], str]] = {
    **dict.fromkeys(
        (
            "service.status",
            "service.restart",
            "service.reconnect",
            "service.stop",
            "service.dead_letters",
            "service.replay",
            "service.discard",
            "service.call",
        ),
        _service,
    ),
    **dict.fromkeys(
        (
            "worker.status",
            "worker.send",
            "worker.pause",
            "worker.resume",
            "worker.cancel",
            "worker.approve",
            "worker.revoke",
            "worker.compact",
            "worker.uncompact",
            "worker.restore",
            "worker.as_sent",
            "worker.history",
            "worker.watch",
            "worker.pair",
            "worker.senders",
        ),
        _worker,
    ),
    "worker.forget_sender": lambda params: f"service:{params['plugin']}",
}
"""The methods that go to the owner of what they name."""
LISTS = ("service.list", "worker.list")
"""The methods that every machine answers for itself."""
FOLLOWED = ("worker.poll", "worker.unwatch")
"""The methods that go to the process that has given out a follower's key."""
DRAIN = "cluster.drain"
"""Goes to the owner of the one unit that it names; else it is of this machine."""
FORWARDED = frozenset({*ABOUT, *LISTS, *FOLLOWED, DRAIN, COMMAND})
READ_ONLY = frozenset(
    {
        "service.status",
        "service.dead_letters",
        "worker.status",
        "worker.as_sent",
        "worker.history",
        "worker.senders",
        "worker.watch",
        *LISTS,
        *FOLLOWED,
    }
)
"""Of these no line is logged: they come by the hundred, and change nothing."""


def answered_here(methods: Mapping[str, Method]) -> dict[str, Method]:
    """Return those of `methods` that other machines may ask this one for."""
    return {name: method for name, method in methods.items() if name in FORWARDED}


def naming_the_remedy(methods: Mapping[str, Method]) -> dict[str, Method]:
    """Return `methods` for a deployment without a key: a refusal says what is missing."""

    def telling(method: Method) -> Method:
        async def told(params: dict[str, Any]) -> Any:
            try:
                return await method(params)
            except YoiError as exc:
                if exc.code not in _GONE:
                    raise
                raise ControlError(exc.code, exc.message, hint=_REMEDY) from None

        return told

    return {name: telling(one) if name in ABOUT else one for name, one in methods.items()}


class Forwarding:
    """Has other machines carry out what they run. `here` are the methods of this process."""

    def __init__(self, asking: Asking, here: Mapping[str, Method], limits: Limits = LIMITS) -> None:
        self._asking = asking
        self._here = here
        self._seconds = limits.cluster_command_ms / 1000

    @property
    def methods(self) -> dict[str, Method]:
        """Return the methods that may be forwarded, each as if all ran here."""
        return {
            **{name: self._about(name) for name in ABOUT},
            **{name: self._list(name) for name in LISTS},
            **{name: self._followed(name) for name in FOLLOWED},
            DRAIN: self._drain,
        }

    async def to_owner(self, member: str, method: str, params: dict[str, Any]) -> Any:
        """Have whichever process has `member` carry out `method`; return its answer."""
        refused: YoiError | None = None
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        for _ in range(2):
            owner = self._asking.elsewhere(member)
            if owner is None:
                return await self._carried_out_here(member, method, params)
            try:
                told = await self._asking.ask(owner, method, params, until - loop.time())
            except (ClusterError, ControlError) as exc:
                if exc.code not in _NOT_DONE:
                    raise
                # It may have moved; where it is now, it is asked for once more.
                refused = exc
                await self._asking.look_again(member)
                if self._asking.elsewhere(member) == owner:
                    raise
            else:
                return _shown(told, method, owner)
        assert refused is not None
        raise refused

    async def _carried_out_here(self, member: str, method: str, params: dict[str, Any]) -> Any:
        act = self._here.get(method)
        if act is None:
            _, _, name = member.partition(":")
            raise ClusterError(
                "cluster.unit_unknown", run_elsewhere(name, ""), hint="yoi cluster leases"
            )
        return await act(params)

    def _about(self, method: str) -> Method:
        async def forwarded(params: dict[str, Any]) -> Any:
            return await self.to_owner(ABOUT[method](params), method, params)

        return forwarded

    def _list(self, method: str) -> Method:
        async def gathered(params: dict[str, Any]) -> Answer:
            here = self._here.get(method)
            rows: list[Any] = [] if here is None else list(await here(params))
            listed = {msgspec.to_builtins(row)["name"] for row in rows}
            told, silent = await self._asking.ask_all(method)
            machines: dict[str, str] = {}
            for one in told:
                for row in _rows(one):
                    # One that moves meanwhile may be told of twice.
                    if row["name"] not in listed:
                        listed.add(row["name"])
                        machines[row["name"]] = one.machine
                        rows.append(row)
            ordered = sorted(rows, key=lambda row: str(msgspec.to_builtins(row)["name"]))
            return Answer(ok=ordered, machines=machines, silent=silent)

        return gathered

    def _followed(self, method: str) -> Method:
        async def forwarded(params: dict[str, Any]) -> Any:
            key, at, session = str(params["watch"]).partition(_AT)
            if not at:
                return await self._here[method](params)
            told = await self._asking.ask(
                Process(session, ""), method, {"watch": key}, self._seconds
            )
            return Answer(ok=told.value, machine=told.machine)

        return forwarded

    async def _drain(self, params: dict[str, Any]) -> Any:
        """Hand over the unit that is named, wherever it is; else what this machine has."""
        names = list(params.get("units") or [])
        if len(names) != 1 or params.get("undo"):
            if DRAIN not in self._here:
                raise ClusterError(
                    "cluster.unit_unknown",
                    "this process runs nothing that it could hand over",
                    hint="name what is to move: yoi runtime drain service:NAME",
                )
            return await self._here[DRAIN](params)
        return await self.to_owner(str(names[0]), DRAIN, {"units": [names[0]]})


def _shown(told: Told, method: str, owner: Process) -> Answer:
    """Return what a machine answered as this one's answer."""
    value: Any = told.value
    if method == "worker.watch":
        begun = msgspec.json.decode(told.value, type=dict[str, Any])
        value = {**begun, "watch": f"{begun['watch']}{_AT}{owner.session}"}
    return Answer(ok=value, machine=told.machine)


def _rows(told: Told) -> list[dict[str, Any]]:
    """Return the rows of one machine's list; none where it is not one."""
    try:
        rows = msgspec.json.decode(told.value, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError):
        return []
    return [row for row in rows if isinstance(row.get("name"), str)]

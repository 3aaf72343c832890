"""What people and programs who watch a worker may ask of it: one strict reading of each command."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from yoi.errors import WorkerError
from yoi.limits import LIMITS
from yoi.toml import Bad, Faults, Key, TableSpec, Text, Whole
from yoi.workers.approvals import Decision
from yoi.workers.worker import Worker

Arguments = Mapping[str, Any]


async def carry_out(worker: Worker, command: str, arguments: Arguments, by: str) -> Any:
    """Return the answer of `command`, which `by` sent. Raises WorkerError.

    `worker.command` is for one that does not exist or has other arguments; the rest is the
    worker's own.
    """
    act = _COMMANDS.get(command)
    if act is None:
        raise WorkerError("worker.command", f"a worker has no command {command!r}")
    return await act(worker, arguments, by)


async def _approve(worker: Worker, arguments: Arguments, by: str) -> Any:
    await worker.approve(Decision.parse(arguments), by)
    return {}


async def _revoke(worker: Worker, arguments: Arguments, by: str) -> Any:
    await worker.revoke(_read(_REVOKE, arguments), by)
    return {}


async def _send(worker: Worker, arguments: Arguments, by: str) -> Any:
    return {"seq": await worker.send(_read(_SEND, arguments), by)}


async def _pause(worker: Worker, arguments: Arguments, by: str) -> Any:
    _read(_NOTHING, arguments)
    await worker.pause(by)
    return {}


async def _resume(worker: Worker, arguments: Arguments, by: str) -> Any:
    _read(_NOTHING, arguments)
    await worker.resume(by)
    return {}


async def _cancel(worker: Worker, arguments: Arguments, by: str) -> Any:
    _read(_NOTHING, arguments)
    await worker.cancel()
    return {}


async def _compact(worker: Worker, arguments: Arguments, by: str) -> Any:
    await worker.compact(_read(_COMPACT, arguments))
    return {}


_COMMANDS: Mapping[str, Callable[[Worker, Arguments, str], Awaitable[Any]]] = {
    "approve": _approve,
    "cancel": _cancel,
    "compact": _compact,
    "pause": _pause,
    "resume": _resume,
    "revoke": _revoke,
    "send": _send,
}


def _read(table: TableSpec[Any], arguments: Arguments) -> Any:
    faults = Faults()
    found = table.read(dict(arguments), "", faults)
    if isinstance(found, Bad):
        fault = next(iter(faults))
        raise WorkerError("worker.command", f"{fault.at} {fault.message}", at=fault.at)
    return found


_REVOKE = TableSpec(
    (Key("item", Whole(1, 2**53 - 1), "where the grant was given", required=True),),
    lambda row: row["item"],
)
_SEND = TableSpec(
    (Key("text", Text(LIMITS.input_bytes), "the message", required=True),),
    lambda row: row["text"],
)
_COMPACT = TableSpec(
    (Key("words", Text(LIMITS.compact_chars, blank=True), "for the model", default=""),),
    lambda row: row["words"],
)
_NOTHING = TableSpec[None]((), lambda row: None)

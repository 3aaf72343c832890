"""What all runtimes of a deployment have together: each service and worker once, with its machine.

A service or worker that has an owner is always listed. Where its machine cannot be watched from
here, or has not listed it yet, the row says so; so do one that is between two machines and one that
no machine may take any more.
Work items are files of each machine: there is one board for each of them, called as the machine.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from msgspec import structs

from yoi.backend.source import (
    Availability,
    Inventory,
    ServiceSummary,
    WorkerSummary,
)
from yoi.cluster.records import Record
from yoi.limits import LIMITS, Limits

STARTING, UNREACHABLE, MOVING, BARRED = "starting", "unreachable", "moving", "barred"
_SESSION_CHARS = 8
_WHY = {
    STARTING: None,
    MOVING: "no machine has taken it yet",
    UNREACHABLE: "its machine is gone, or this backend cannot reach a runtime there",
}
S = TypeVar("S", WorkerSummary, ServiceSummary)


class Runtime(Protocol):
    """One runtime, as it was last heard."""

    @property
    def availability(self) -> Availability:
        """Return whether it answers."""
        ...

    @property
    def inventory(self) -> Inventory:
        """Return what it has."""
        ...


Runtimes = Mapping[str, tuple[str, Runtime]]
"""The machine's name and the runtime, by session."""


def deployment_inventory(
    records: Mapping[str, Record], runtimes: Runtimes, now_ms: int, limits: Limits = LIMITS
) -> Inventory:
    """Return what is listed of a deployment whose owners are as `records` say."""
    owned = [
        (name, records[name])
        for name in sorted(records)
        if records[name].expected(now_ms, limits.machine_gone_ms)
    ]
    workers = {key: _by_id(one.inventory.workers) for key, (_, one) in runtimes.items()}
    services = {key: _by_id(one.inventory.services) for key, (_, one) in runtimes.items()}
    boards = [
        structs.replace(board, id=name, machine=runtimes[session][0])
        for name, session in sorted(boards_of(runtimes).items())
        for board in runtimes[session][1].inventory.boards
    ]
    most = limits.inventory_items
    return Inventory(
        [
            structs.replace(found or _missing_worker(name, one, runtimes), **_moves(one))
            for name, one, found in _of("worker", owned, workers)
        ][:most],
        [
            structs.replace(found or _missing_service(name, one, runtimes), **_moves(one))
            for name, one, found in _of("service", owned, services)
        ][:most],
        boards[:most],
    )


def boards_of(runtimes: Runtimes) -> dict[str, str]:
    """Return the session of the runtime that has each board, by the board's name.

    Machines of one name are told apart, so that no two folders are shown as one. A process that
    does not answer gives way to one that does: its machine was started again.
    """
    sessions: dict[str, list[str]] = defaultdict(list)
    for session, (machine, _) in runtimes.items():
        sessions[machine].append(session)
    found = {}
    for machine, all_of_it in sessions.items():
        alive = [one for one in all_of_it if runtimes[one][1].availability in _ANSWERS]
        shown = alive or all_of_it
        for session in shown:
            name = machine if len(shown) == 1 else f"{machine}.{session[:_SESSION_CHARS]}"
            found[name] = session
    return found


_ANSWERS = frozenset({Availability.AVAILABLE})


def _by_id(rows: list[S]) -> dict[str, S]:
    return {one.id: one for one in rows}


def _of(
    kind: str, owned: list[tuple[str, Record]], found: Mapping[str, Mapping[str, S]]
) -> Iterator[tuple[str, Record, S | None]]:
    """Yield what is of `kind`: its name, its record, and its row where its owner lists it."""
    for member, record in owned:
        of_kind, _, name = member.partition(":")
        if of_kind == kind:
            rows = found.get(record.session, {}) if not record.barred else {}
            yield name, record, rows.get(name)


def _moves(record: Record) -> dict[str, object]:
    return {
        "machine": record.machine,
        "moves": [one.report() for one in record.moves],
        "moved": record.moved,
    }


def _missing_worker(name: str, record: Record, runtimes: Runtimes) -> WorkerSummary:
    state = _state(record, runtimes)
    return WorkerSummary(id=name, status=state, last_error=record.barred or _WHY[state])


def _missing_service(name: str, record: Record, runtimes: Runtimes) -> ServiceSummary:
    state = _state(record, runtimes)
    return ServiceSummary(
        id=name, lifecycle=state, health=state, last_error=record.barred or _WHY[state]
    )


def _state(record: Record, runtimes: Runtimes) -> str:
    if record.barred:
        return BARRED
    if not record.session:
        return MOVING
    runtime = runtimes.get(record.session)
    answers = runtime is not None and runtime[1].availability in _ANSWERS
    return STARTING if answers else UNREACHABLE

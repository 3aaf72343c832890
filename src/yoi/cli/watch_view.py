"""What `yoi watch` prints: one subject as it goes on, and honest lines about the watching.

Lines about the watching go to stderr, so that nothing a worker says can pass for one in a pipe.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from rich.console import RenderableType
from rich.text import Text

from yoi.cli import diagnostic_view, service_view
from yoi.cli.board_view import BoardContent
from yoi.cli.layout import age, lines, many, moment, table
from yoi.cli.move_words import moved
from yoi.cli.output import Output, console, plain, shown
from yoi.cli.worker_stream import WorkerStream
from yoi.client import (
    Bookmark,
    CaughtUp,
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    Reconnected,
    Resumed,
    Resync,
    RuntimeListing,
    Snapshot,
    Value,
)
from yoi.display import shell_word
from yoi.protocol import diagnostics as dg
from yoi.protocol import events as ev
from yoi.protocol.depth import deeper_than
from yoi.protocol.moves import MoveReport
from yoi.protocol.observation import Subject, SubjectKind
from yoi.protocol.service_events import (
    ServiceDiagnosed,
    ServiceSnapshot,
    ServiceStatusChanged,
    ServiceStopped,
)
from yoi.protocol.status import ServiceStatus

_RECENT = 20
"""Entries of a first snapshot that are printed; more is what `yoi worker history` is for."""
_DEPTH = 64
_KINDS = {
    Snapshot: "snapshot",
    Event: "event",
    Resumed: "resumed",
    CaughtUp: "caught_up",
    Bookmark: "bookmark",
    Resync: "resync",
    Diagnostic: "diagnostic",
    Disconnected: "disconnected",
    Reconnected: "reconnected",
    Ended: "ended",
}


def document(value: Value) -> dict[str, Any]:
    """Return `value` as one JSON object: `kind`, then the fields of the value."""
    if isinstance(value, Snapshot | Event):
        return {
            "kind": _KINDS[type(value)],
            "cursor": value.cursor,
            "event_id": value.event_id,
            "event": _payload(value),
        }
    return {"kind": _KINDS[type(value)], **msgspec.to_builtins(value)}


class Content(Protocol):
    """Prints one kind of subject."""

    def begin(self, event: Any) -> None:
        """Print all state, or of a later snapshot what is new in it."""
        ...

    def hear(self, event: Any) -> None:
        """Print one event."""
        ...

    def settle(self) -> None:
        """Finish an open line."""
        ...


class Screen:
    """Prints every value of one watch."""

    def __init__(self, output: Output, subject: Subject) -> None:
        self._output = output
        self._content = _CONTENTS[subject.kind](output, subject.name)
        self._what = f"{subject.kind} {subject.name}"
        self._away = ""

    def show(self, value: Value) -> None:
        """Print `value`."""
        if self._output.as_json:
            self._output.line(document(value), lambda: Text(""))
            return
        match value:
            case Snapshot(event):
                self._content.begin(event)
            case Event(event):
                self._content.hear(event)
            case Resync(_, message, dropped):
                missed = "events may have been" if dropped is None else _were(dropped)
                self._note(f"{missed} missed ({message}); the picture is fresh again", "yellow")
            case Diagnostic(entry):
                if entry.action != "reconnect":  # then `Disconnected` says the same
                    self._note(f"{entry.message} [{entry.code}]", "yellow")
            case Disconnected(_, message, retry_in_ms):
                # Once per reason: a long outage must not fill the screen.
                if message != self._away:
                    wait = f"{retry_in_ms / 1000:.1f} s"
                    self._note(f"{message}; trying again, first in {wait}", "yellow")
                self._away = message
            case Reconnected():
                self._away = ""
                self._note("connected again", "green")
            case Resumed():
                self._note("resumed: exactly what was missed follows")
            case CaughtUp():
                self._note("up to date")
            case Ended():
                self._note(f"{self._what} is gone for good")
            case Bookmark():
                pass

    def settle(self) -> None:
        """Finish an open line."""
        self._content.settle()

    def _note(self, words: str, style: str = "dim") -> None:
        self._content.settle()
        self._output.note(f"-- {words}", style)


class WorkerContent:
    """A worker: what is new in each snapshot, then its events."""

    def __init__(self, output: Output, name: str) -> None:
        self._stream = WorkerStream(output, name)
        self._name = name
        self._seq = 0
        self._begun = False

    def begin(self, event: ev.Snapshot) -> None:
        """Print state, recent entries, what waits for a person, and what is being said."""
        data, stream = event.data, self._stream
        stream.settle()
        who = data.greeting
        # The offline engine is its own model: one word, not the same one twice.
        model = " ".join(dict.fromkeys([who.provider, who.model]))
        stream.line(f"{who.worker_name}: {data.status}, {model}", "bold")
        fresh = [entry for entry in data.entries if entry["seq"] > self._seq]
        if not self._begun:
            fresh = fresh[-_RECENT:]
        cut = len(fresh) < len(data.entries) if not self._begun else data.left_out > self._seq
        if cut or (data.left_out and not self._begun):
            stream.line(f"... earlier: yoi worker history {shell_word(self._name)}", "dim")
        for entry in fresh:
            stream.entry(entry)
        for call in data.waiting:
            stream.hear({"event": "approval_request", "data": msgspec.to_builtins(call)})
        for block in data.in_flight.blocks if data.in_flight else ():
            stream.block(msgspec.to_builtins(block))
        self._begun = True
        self._seq = max([self._seq, data.left_out, *(entry["seq"] for entry in data.entries)])

    def hear(self, event: ev.Event | ev.UnknownEvent) -> None:
        """Print one event; one that this version cannot read is left out."""
        if not isinstance(event, ev.UnknownEvent):
            seq = getattr(getattr(event, "data", None), "seq", None)
            self._seq = max(self._seq, seq or 0)
            self._stream.hear(msgspec.to_builtins(event))

    def settle(self) -> None:
        """Finish an open line."""
        self._stream.settle()


class ServiceContent:
    """A service: its details, then one line whenever its figures change, and its diagnostics."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self._line = ""

    def begin(self, event: ServiceSnapshot) -> None:
        """Print everything about the service."""
        data = event.data
        status = _status(data.status)
        if status is None:
            self._print(shown(f"{self._name}: {_words(data.status)}", 4096))
            return
        told = [entry for entry in map(_diagnostic, data.diagnostics) if entry is not None]
        status.diagnostics = told
        console().print(service_view.details(status), crop=False)
        if data.redacted:
            self._print(shown("what was said is withheld", style="dim"))
        self._line = figures(status)

    def hear(self, event: Any) -> None:
        """Print one event."""
        match event:
            case ServiceStatusChanged(data):
                status = _status(data.status)
                line = _words(data.status) if status is None else figures(status)
                if line != self._line:
                    self._print(shown(line, 4096))
                self._line = line
            case ServiceDiagnosed(data):
                entry = _diagnostic(data)
                if entry is None:
                    self._print(shown(f"diagnostic {_words(data)}", 4096))
                    return
                self._print(diagnostic_view.diagnostic_line(entry))
                if data.get("redacted"):
                    self._print(shown("    what was said is withheld", style="dim"))
                for row in diagnostic_view.trace_lines(entry):
                    self._print(row)
                for row in diagnostic_view.hint_lines(entry):
                    self._print(row)
            case ServiceStopped():
                self._print(shown("the service was disabled", style="dim"))
            case _:
                pass

    def settle(self) -> None:
        """Do nothing: no line is left open."""

    def _print(self, line: Text) -> None:
        console().print(line, soft_wrap=True, crop=False)


_CONTENTS: dict[SubjectKind, Callable[[Output, str], Content]] = {
    SubjectKind.WORKER: WorkerContent,
    SubjectKind.SERVICE: ServiceContent,
    SubjectKind.BOARD: BoardContent,
}


def figures(one: ServiceStatus) -> str:
    """Return one line of what changes while a service runs."""
    connections = one.connections
    parts = [
        one.health or one.lifecycle,
        service_view.open_words(connections) if connections else "no connections",
        f"queue {one.queue_depth}/{one.queue_capacity}",
        f"{sum(connection.frames_in for connection in connections)} in",
        f"{sum(connection.frames_out for connection in connections)} out",
        f"{one.counters.commands_denied} refused",
    ]
    if one.dead_letters:
        parts.append(many(one.dead_letters, "dead letter"))
    if one.last_error is not None and one.lifecycle != "running":
        parts.append(f"{one.last_error} [{one.last_error_code}]")
    elif reason := service_view.why(one):
        parts.append(reason)
    if one.plugin_status is not None:
        parts.append(f"it says {_words(one.plugin_status)}")
    return ", ".join(parts)


def overview(listed: Sequence[RuntimeListing], trouble: str = "") -> RenderableType:
    """Return tables of what each runtime shows; `trouble` is why it may be old."""
    parts: list[RenderableType] = []
    for one in listed:
        good = one.state == "available"
        head = Text.assemble(
            shown(one.runtime_id, style="bold"),
            "  ",
            shown(one.state, style="green" if good else "yellow"),
        )
        if one.since:
            head.append_text(shown(f" since {moment(one.since)}", style="dim"))
        parts.append(head)
        if one.workers:
            parts += [_workers(one.workers), ""]
        if one.services:
            parts += [_services(one.services), ""]
        if one.boards:
            parts += [_boards(one.boards), ""]
        if good and not any(one.rows(kind) for kind in SubjectKind):
            parts += [shown("  nothing that you may watch", style="dim"), ""]
    if not listed:
        parts.append(shown("no runtimes: none that you may watch"))
    if trouble:
        parts.append(shown(f"not up to date: {trouble}", 1024, "yellow"))
    return lines(parts)


def _workers(rows: Sequence[dict[str, Any]]) -> RenderableType:
    machine = _machine(rows)
    came = _came(rows)
    grid = table("worker", *machine, "status", "model", ">waiting", ">approvals", "error", *came)
    for row in rows:
        cells = _cells(row, "id status engine waiting approvals last_error")
        grid.add_row(cells[0], *_cells(row, " ".join(machine)), *cells[1:], *_how(row, came))
    return grid


def _machine(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the column that says which of several machines has each, where there are several."""
    return ["machine"] if any(row.get("machine") for row in rows) else []


def _came(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the column that says how each came to its machine, where one has moved."""
    return ["came"] if any(row.get("moves") for row in rows) else []


def _how(row: dict[str, Any], came: list[str]) -> list[Text]:
    try:
        moves = msgspec.convert(row.get("moves", []), list[MoveReport])
        times = msgspec.convert(row.get("moved", 0), int)
    except msgspec.ValidationError:
        moves, times = [], 0
    return [shown(moved(moves, times), 200) for _ in came]


def _services(rows: Sequence[dict[str, Any]]) -> RenderableType:
    machine = _machine(rows)
    came = _came(rows)
    grid = table(
        "service", *machine, "state", "open", ">queue", ">dead", "last frame", "error", *came
    )
    for row in rows:
        cells = _cells(row, "id health open queue_depth dead_letters last_frame_at last_error")
        if not row.get("health"):
            cells[1] = shown(row.get("lifecycle", ""))
        total = row.get("connections", "?")
        cells[2] = shown("none" if total == 0 else f"{row.get('open', '?')} of {total}")
        heard = row.get("last_frame_at")
        cells[5] = shown(age(heard) if isinstance(heard, str) else "")
        grid.add_row(cells[0], *_cells(row, " ".join(machine)), *cells[1:], *_how(row, came))
    return grid


def _boards(rows: Sequence[dict[str, Any]]) -> RenderableType:
    machine = _machine(rows)
    names = " ".join(["id", *machine, "items queued inprogress undecided damaged"])
    grid = table(
        "board", *machine, ">items", ">queued", ">in progress", ">not in force", ">damaged"
    )
    for row in rows:
        grid.add_row(*_cells(row, names))
    return grid


def resume_hint(words: str, cursor: str) -> str:
    """Return the command that goes on after `cursor`."""
    return f"go on from here: {words} --cursor {cursor}"


def _cells(row: dict[str, Any], names: str) -> list[Text]:
    return [shown("" if row.get(name) is None else row[name]) for name in names.split()]


def _were(count: int) -> str:
    return "1 event was" if count == 1 else f"{count} events were"


def _payload(value: Snapshot | Event) -> Any:
    """Return the payload as JSON values; one that is nested beyond reason is only named."""
    try:
        decoded = msgspec.json.decode(value.raw)
    except RecursionError:
        decoded = None
    if decoded is None or deeper_than(decoded, _DEPTH):
        return {"event": ev.unknown_event(value.raw).event}
    return decoded


def _status(status: dict[str, Any]) -> ServiceStatus | None:
    try:
        return msgspec.convert(status, ServiceStatus)
    except msgspec.ValidationError:
        return None


def _diagnostic(entry: dict[str, Any]) -> dg.Diagnostic | None:
    try:
        return msgspec.convert(entry, dg.Diagnostic)
    except msgspec.ValidationError:
        return None


def _words(value: Any) -> str:
    return msgspec.json.encode(plain(value)).decode()

"""Services as tables and lines for people. What the host answers is parsed before it is shown."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from yoi.cli.diagnostic_view import counted, diagnostic_line, hint_lines, trace_lines
from yoi.cli.elsewhere import HERE, NO_MACHINES
from yoi.cli.layout import Indented, Rows, age, lines, many, moment, pairs, size, table, whole
from yoi.cli.output import plain, shown
from yoi.core.halts import HOW
from yoi.display import shell_word
from yoi.errors import ControlError
from yoi.protocol.status import (
    ConnectionStatus,
    Counters,
    DeferredCallStatus,
    PullSocketStatus,
    RequestStatus,
    ServiceStatus,
)

_SHOWN_REFUSALS = 10
_SAID_CHARS = 512
"""What `shown` shows of what a plugin says of itself."""
PAYLOAD_LINES = 400
"""What is shown of a payload or a tool's answer."""
_GOOD = {
    "running": "green",
    "open": "green",
    "degraded": "bold yellow",
    "starting": "yellow",
    "connecting": "yellow",
}
_BAD = frozenset({"failed", "quarantined"})


def parse(answer: Any) -> ServiceStatus:
    """Return the status in a control answer; raises ControlError where it does not fit."""
    status: ServiceStatus = converted(answer, ServiceStatus)
    return status


def parse_all(answer: Any) -> list[ServiceStatus]:
    """Return every status in a control answer."""
    statuses: list[ServiceStatus] = converted(answer, list[ServiceStatus])
    return statuses


def overview(
    statuses: Sequence[ServiceStatus], machines: Mapping[str, str] = NO_MACHINES
) -> RenderableType:
    """Return one row per service, with the other machine that has it, by `machines`."""
    if not statuses:
        return Group(
            Text("no services: nothing is enabled in this workspace"),
            Text("  hint: yoi plugin list", style="cyan"),
        )
    column = ["machine"] if machines else []
    grid = table(
        "service", *column, "state", "connections", ">queue", ">in", ">out", "last frame", "why"
    )
    for one in statuses:
        connections = one.connections
        heard = max(
            (connection.last_frame_at for connection in connections if connection.last_frame_at),
            default=None,
        )
        grid.add_row(
            shown(one.name, style="bold"),
            *(shown(machines.get(one.name, HERE)) for _ in column),
            state_of(one),
            shown(open_words(connections)),
            shown(one.queue_depth),
            shown(sum(connection.frames_in for connection in connections)),
            shown(sum(connection.frames_out for connection in connections)),
            shown(age(heard)),
            shown(why(one)),
        )
    return grid


def open_words(connections: Sequence[ConnectionStatus]) -> str:
    """Return how many connections are open."""
    if not connections:
        return "none"
    opened = sum(connection.state == "open" for connection in connections)
    return f"{opened} of {len(connections)} open"


def why(one: ServiceStatus) -> str:
    """Return what a person should look into first, nothing where all is well now."""
    if one.lifecycle in _BAD or one.lifecycle == "starting":
        return one.last_error_code or ""
    if one.refused_version is not None:
        return f"{one.refused_version.version} is enabled and was refused"
    if one.missing_secrets:
        name = one.missing_secrets[0]
        return f"no secret {name}: yoi secret set {shell_word(name)}"
    for connection in one.connections:
        if connection.down_since is not None:
            # The time itself: a watcher prints a line whenever it has changed.
            next_dial = (
                f", next dial {moment(connection.next_dial_at)[-8:]}"
                if connection.next_dial_at
                else ""
            )
            code = f" {connection.last_error_code}" if connection.last_error_code else ""
            return f"{connection.name} down since {moment(connection.down_since)}{code}{next_dial}"
    return ""


def details(one: ServiceStatus) -> RenderableType:
    """Return everything a person asks first about one service."""
    head = Text.assemble(shown(one.name, style="bold"), "  ", state_of(one))
    rows: list[tuple[str, Text]] = [
        ("plugin", shown(f"{one.reference} {one.version}")),
        ("digest", shown(one.digest)),
        ("runtime", shown(one.runtime)),
        ("queue", shown(
            f"{one.queue_depth} of {many(one.queue_capacity, 'event')}, "
            f"{size(one.queue_bytes)} of {size(one.queue_bytes_capacity)}")),
        ("events", _counters(one.counters, _EVENTS)),
        ("commands", _counters(one.counters, _COMMANDS)),
        ("restarts", shown(one.counters.restarts)),
    ]  # fmt: skip
    if one.plugin_status is not None:
        said = json.dumps(plain(one.plugin_status), ensure_ascii=False)
        rows.append(("it says", shown(said)))
        if len(said) > _SAID_CHARS:
            rows.append(("", _whole_elsewhere(one.name)))
        if one.plugin_status_at is not None:
            rows.append(("  as of", shown(age(one.plugin_status_at))))
    refused = one.refused_version
    if refused is not None:
        words = f"{refused.version} {refused.digest}, which could not take over: {refused.message}"
        rows.append(("enabled is", shown(f"{words} [{refused.code}]", style="red")))
        rows.append(("  try again", shown(f"yoi service restart {shell_word(one.name)}")))
    for name in one.missing_secrets:
        rows.append(
            ("missing", shown(f"secret {name}  (yoi secret set {shell_word(name)})", style="red"))
        )
    for alert in one.alerts:
        rows.append(("alert", shown(f"{alert.message}, since {moment(alert.since)}", style="red")))
    if one.dead_letters:
        where = f"yoi service dead-letters {shell_word(one.name)}"
        rows.append(("dead letters", shown(f"{one.dead_letters}  ({where})", style="yellow")))
    if one.last_error is not None:
        over = one.lifecycle == "running"  # what is over must not look like what is wrong now
        rows.append(
            (
                "earlier error" if over else "error",
                shown(
                    f"{_when(one.last_error_at)}{one.last_error} [{one.last_error_code}]",
                    style="dim" if over else "red",
                ),
            )
        )
    if one.restart_at is not None:
        rows.append(("restarts at", shown(moment(one.restart_at))))
    parts: list[RenderableType] = [head, pairs(rows)]
    if not one.connections:
        parts.append(shown("  no connections", style="dim"))
    if one.connections:
        parts += ["", _connections(one.connections)]
        parts += [note for connection in one.connections for note in _connection_notes(connection)]
    if one.pull_sockets:
        parts += ["", _pull_sockets(one.pull_sockets)]
    if one.requests:
        parts += ["", _requests(one.requests)]
    if one.deferred_calls:
        parts += ["", _deferred(one.deferred_calls)]
    parts += _refusals(one)
    return lines(parts)


def _whole_elsewhere(name: str) -> Text:
    """Return where a person finds what is cut off here."""
    return shown(f"whole in: yoi service status {shell_word(name)} --json", style="cyan")


def now_is(one: ServiceStatus) -> RenderableType:
    """Return one line that says which state a service is in after a command."""
    line = Text.assemble(shown(one.name, style="bold"), " is ", state_of(one))
    if one.lifecycle in _BAD and one.last_error is not None:
        line.append_text(shown(f": {one.last_error} [{one.last_error_code}]"))
    return line


def reconnected(name: str, connections: Sequence[str]) -> RenderableType:
    """Return which connections are dialled."""
    if not connections:
        return shown(f"{name} declares no connections")
    return shown(f"{name} dials {', '.join(connections)}")


def tool_output(value: Any) -> RenderableType:
    """Return a tool's output: its summary and content where it has them, else its JSON."""
    if isinstance(value, dict) and isinstance(value.get("summary"), str):
        content = value.get("content")
        parts: list[RenderableType] = [shown(value["summary"], style="bold")]
        if isinstance(content, str):
            parts += [shown(row, 2048) for row in content.splitlines()[:PAYLOAD_LINES]]
        refused = value.get("refused")
        for one in refused if isinstance(refused, list) else ():
            # What the tool says it did is not what came of it.
            parts.append(shown(f"refused: {plain(one)}", 2048, style="red"))
        return lines(parts)
    body = json.dumps(plain(value), indent=2, ensure_ascii=True).splitlines()
    return lines([shown(row, 2048) for row in body[:PAYLOAD_LINES]])


_EVENTS = ("enqueued", "succeeded", "failed", "timed_out", "retried", "rejected", "dropped", "dead")
_COMMANDS = ("commands_done", "commands_denied", "commands_failed", "commands_unknown")
_ALWAYS = frozenset({"enqueued", "succeeded", "failed", "commands_done", "commands_denied"})


def _counters(counters: Counters, names: Sequence[str]) -> Text:
    """Return the counters in words; rare ones only when they count something."""
    parts = []
    for name in names:
        count = getattr(counters, name)
        if count or name in _ALWAYS:
            parts.append(f"{count} {name.removeprefix('commands_').replace('_', ' ')}")
    return Text(", ".join(parts))


def _connections(connections: Sequence[ConnectionStatus]) -> Rows:
    grid = table(
        "connection",
        "state",
        "open for",
        "last frame",
        ">in",
        ">out",
        ">redials",
        ">gaps",
        "last close",
    )
    for connection in connections:
        closed = (
            ""
            if connection.close_code is None
            else f"{connection.close_code} {connection.close_reason or ''}"
        )
        grid.add_row(
            shown(connection.name, style="bold"),
            _state(
                "paused"
                if connection.reading_paused and connection.state == "open"
                else connection.state
            ),
            shown(age(connection.connected_since).removesuffix(" ago")),
            shown(age(connection.last_frame_at)),
            shown(connection.frames_in),
            shown(connection.frames_out),
            shown(connection.reconnects),
            shown(connection.gaps),
            shown(closed.strip()),
        )
    return grid


def _connection_notes(connection: ConnectionStatus) -> list[RenderableType]:
    """Return the lines about one connection that need more room than a cell."""
    at = f" at {connection.address}" if connection.address else ""
    notes: list[Text] = []
    if connection.down_since is not None:
        notes.append(shown(f"down since {moment(connection.down_since)}", style="bold yellow"))
    if connection.last_error is not None:
        since, code = _when(connection.last_error_at), connection.last_error_code
        words = f"{since}{connection.last_error} [{code}]"
        over = connection.down_since is None  # what is over must not look like what is wrong now
        notes.append(
            shown(
                f"earlier, over now: {words}" if over else words,
                1024,
                "dim" if over else "red",
            )
        )
    if connection.halt is not None:
        ways = [words for change, words in HOW.items() if change in connection.revived_by]
        notes.append(shown("it is dialled again when"))
        notes += [shown(f"  {way}".replace("`", "")) for way in ways]
    if connection.next_dial_at is not None:
        notes.append(shown(f"next dial {age(connection.next_dial_at)}"))
    odd = [
        many(count, one, more)
        for count, one, more in (
            (connection.queue_drops, "frame dropped at the queue", "frames dropped at the queue"),
            (connection.send_failures, "send failed", "sends failed"),
            (
                connection.sequence_duplicates,
                "message that came before, by its number",
                "messages that came before, by their numbers",
            ),
            (
                connection.sequence_unread,
                "message whose number cannot be read",
                "messages whose numbers cannot be read",
            ),
            (connection.binary_ignored, "binary frame ignored", "binary frames ignored"),
            (
                connection.unlisted_senders,
                "message of an unlisted sender not delivered",
                "messages of unlisted senders not delivered",
            ),
        )
        if count
    ]
    if odd:
        notes.append(shown(", ".join(odd), style="yellow"))
    head = Indented(shown(f"{connection.name} -> {connection.url}{at}"), 2)
    return [head, *(Indented(note, 4) for note in notes)]


def _pull_sockets(sockets: Sequence[PullSocketStatus]) -> Rows:
    grid = table(
        "opened by itself", "for", "state", "opened", ">waiting", ">in", ">out", "closed", "url"
    )
    for one in sockets:
        grid.add_row(
            shown(one.handle, style="bold"),
            shown(one.owner),
            _state("paused" if one.reading_paused and one.state == "open" else one.state),
            shown(age(one.opened_at)),
            shown(one.waiting_messages),
            shown(one.frames_in),
            shown(one.frames_out),
            shown("" if one.close_code is None else one.close_code),
            shown(one.url),
        )
    return grid


def _deferred(calls: Sequence[DeferredCallStatus]) -> Rows:
    grid = table("tool calls that wait", "as", "since", "at most until")
    for one in calls:
        grid.add_row(
            shown(one.tool, style="bold"),
            shown(one.id),
            shown(age(one.since)),
            shown(moment(one.until)),
        )
    return grid


def _requests(targets: Sequence[RequestStatus]) -> Rows:
    grid = table("requests to", ">sent", ">failed", "the last one")
    for one in targets:
        last = "answered" if one.code is None else f"{one.message} [{one.code}]"
        grid.add_row(
            shown(one.target, style="bold"),
            shown(one.requests),
            shown(one.failed),
            shown(last, style="" if one.code is None else "yellow"),
        )
    return grid


def _refusals(one: ServiceStatus) -> list[RenderableType]:
    """Return the last warnings and errors, each with what to do about it."""
    recent = counted(entry for entry in one.diagnostics if entry.severity != "info")
    earlier, recent = len(recent[:-_SHOWN_REFUSALS]), recent[-_SHOWN_REFUSALS:]
    if not recent:
        return []
    parts: list[RenderableType] = ["", shown("recent trouble", style="bold")]
    if earlier:
        words = shown(f"  {earlier} earlier, ", style="dim")
        parts.append(words.append_text(_whole_elsewhere(one.name)))
    for entry, count in recent:
        line = diagnostic_line(entry)
        parts.append(line.append_text(shown(f" x{count}", style="bold")) if count > 1 else line)
        parts += trace_lines(entry)
        parts += [whole(row) for row in hint_lines(entry)]
    return parts


def _when(rfc3339: str | None) -> str:
    return "" if rfc3339 is None else f"{moment(rfc3339)} "


def state_of(one: ServiceStatus) -> Text:
    """Return the state of a service in one word: what runs and lacks something is degraded."""
    return _state(one.health or one.lifecycle)


def _state(state: str) -> Text:
    return shown(state, style="bold red" if state in _BAD else _GOOD.get(state, ""))


def converted(answer: Any, kind: Any) -> Any:
    """Return a control answer as `kind`; raises ControlError where it does not fit."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as exc:
        raise ControlError(
            "control.refused",
            f"the running host answered in a form this Yoi does not know: {exc}",
            hint="restart the host with this version: yoi serve",
        ) from None

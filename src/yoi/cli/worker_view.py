"""Workers as tables, lines and a live stream for people. What models and plugins say is escaped."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from yoi.cli.elsewhere import HERE, NO_MACHINES
from yoi.cli.layout import lines, many, moment, pairs, size, table, whole
from yoi.cli.output import shown
from yoi.display import printable, shell_argument, shell_word
from yoi.errors import ControlError
from yoi.protocol.events import ApprovalRequestData
from yoi.types import rfc3339
from yoi.workers.grants import Grant
from yoi.workers.servers import ServerShown
from yoi.workers.worker import WorkerStatus

_STYLES = {
    "running": "green",
    "idle": "",
    "paused": "yellow",
    "stopped": "red",
    "failed": "bold red",
}


def parse(answer: Any) -> WorkerStatus:
    """Return the status in a control answer; raises ControlError where it does not fit."""
    try:
        return msgspec.convert(answer, WorkerStatus)
    except msgspec.ValidationError as exc:
        raise ControlError("control.refused", f"the host's answer does not fit: {exc}") from None


def parse_all(answer: Any) -> list[WorkerStatus]:
    """Return every status in a control answer."""
    if not isinstance(answer, list):
        raise ControlError("control.refused", "the host's answer is not a list of workers")
    return [parse(each) for each in answer]


def overview(
    workers: Sequence[WorkerStatus], machines: Mapping[str, str] = NO_MACHINES
) -> RenderableType:
    """Return one row per worker, with the other machine that has it, by `machines`."""
    if not workers:
        return Group(
            Text("no workers: none is configured in this workspace"),
            Text("  hint: add [[workers]] to .yoi/yoi.toml", style="cyan"),
        )
    column = ["machine"] if machines else []
    made = table(
        *("worker", *column, "status", "model"),
        *(">waiting", ">approvals", ">calls", "tokens", "error"),
    )
    for worker in workers:
        tokens = f"{worker.input_tokens} in, {worker.output_tokens} out"
        made.add_row(
            shown(worker.name, style="bold"),
            *(shown(machines.get(worker.name, HERE)) for _ in column),
            shown(worker.status, style=_STYLES.get(worker.status, "")),
            shown(worker.engine),
            str(worker.waiting),
            str(len(worker.approvals)),
            str(worker.llm_calls),
            tokens if worker.llm_calls else "",
            shown(_why(worker), 1024),
        )
    notes = [note for worker in workers for note in _fault_lines(worker)]
    return lines([made, *notes])


def _why(worker: WorkerStatus) -> str:
    if worker.fault is None:
        when = f"{moment(worker.last_error_at)} " if worker.last_error_at else ""
        return f"{when}{worker.last_error}" if worker.last_error else ""
    where = f"yoi.toml, line {worker.fault.line}: " if worker.fault.line else ""
    return f"{where}{worker.fault.message} [{worker.fault.code}]"


def _fault_lines(worker: WorkerStatus) -> list[RenderableType]:
    """Return what mends a worker that cannot run."""
    if worker.fault is None or not worker.fault.hint:
        return []
    rows = worker.fault.hint.splitlines()
    return [
        whole(shown(("        " if at else "  hint: ") + row, 1024, "cyan"))
        for at, row in enumerate(rows)
    ]


def details(worker: WorkerStatus) -> RenderableType:
    """Return everything about one worker."""
    if worker.fault is not None:
        why: list[tuple[str, Text]] = [
            ("status", shown(worker.status, style=_STYLES["failed"])),
            ("why", shown(_why(worker), 1024, "red")),
        ]
        if worker.fault.key:
            why.append(("key", shown(worker.fault.key)))
        head: list[RenderableType] = [Text(printable(worker.name), style="bold"), pairs(why)]
        return lines([*head, *_fault_lines(worker)])
    rows: list[tuple[str, Text]] = [
        ("status", shown(worker.status, style=_STYLES.get(worker.status, ""))),
        ("model", shown(worker.engine)),
        ("waiting", Text(many(worker.waiting, "input"))),
        ("history", Text(many(worker.items, "item"))),
        ("context", Text(f"{many(worker.context_items, 'item')}, {size(worker.context_bytes)}")),
        ("model calls", Text(str(worker.llm_calls))),
        ("tokens", Text(f"{worker.input_tokens} in, {worker.output_tokens} out")),
    ]
    if worker.paused_by is not None:
        rows.insert(1, ("paused by", shown(worker.paused_by, style="yellow")))
    if worker.run is not None:
        rows.insert(1, ("run", shown(f"{worker.run}, turn {worker.turn}")))
    today = f"{worker.tokens_today} tokens"
    if worker.money_today is not None:
        today += f", {worker.money_today} by its price"
    rows.append(("today", shown(today)))
    if worker.grants:
        rows.append(
            (
                "grants",
                shown(f"{len(worker.grants)}: yoi worker approvals {shell_word(worker.name)}"),
            )
        )
    if worker.outside:
        rows.append(("outside text", shown("its model reads text from outside", style="yellow")))
    rows += [("MCP server", _server(one)) for one in worker.servers]
    if worker.set_aside:
        places = ", ".join(map(str, worker.set_aside))
        rows.append(
            (
                "set aside",
                shown(f"item {places}: yoi worker restore {shell_word(worker.name)} ITEM", 1024),
            )
        )
    if worker.again_at_ms is not None:
        rows.append(("tried again", shown(_moment(worker.again_at_ms), 64)))
    if worker.last_error is not None:
        rows.append(("error", shown(_why(worker), 1024, "red")))
    parts: list[RenderableType] = [Text(printable(worker.name), style="bold"), pairs(rows)]
    parts += [approval(worker.name, call) for call in worker.approvals]
    parts += [
        shown(f"{_wall(a.timestamp_ms)} {a.level}: {a.source}: {a.message}", 1024)
        for a in worker.alerts
    ]
    return lines(parts)


def _server(one: ServerShown) -> Text:
    words = f"{one.name}: {one.state}, {many(one.approved, 'approved tool')}"
    if one.changed:
        words += f", {one.changed} changed: yoi mcp approve {shell_word(one.name)}"
    if one.error is not None:
        words += f"; {one.error}"
    return shown(words, 1024, "yellow" if one.changed or one.error else "")


def _wall(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def approval(name: str, call: ApprovalRequestData) -> RenderableType:
    """Return what a person must see to decide, and how to."""
    often = f" ({call.times} times)" if call.times > 1 else ""
    rows = [shown(f"waits for approval: {call.name} {call.arguments}{often}", 4096, "yellow")]
    if call.after_outside:
        rows.append(shown(f"  {AFTER_OUTSIDE}", 512, "yellow"))
    rows.append(
        shown(
            f"  hint: yoi worker approve {shell_word(name)} {shell_argument(call.id)}   "
            "(or --deny, --for run, --for exact, --for matching)",
            2048,
            "cyan",
        )
    )
    return Group(*rows)


AFTER_OUTSIDE = "after text from outside: strangers may have asked for this"


def approvals(workers: Sequence[WorkerStatus]) -> RenderableType:
    """Return what waits for a person, and what people granted."""
    parts: list[RenderableType] = []
    for worker in workers:
        if not worker.approvals and not worker.grants:
            continue
        parts.append(shown(worker.name, style="bold"))
        parts += [approval(worker.name, call) for call in worker.approvals]
        for grant in worker.grants:
            ends = "" if grant.until_ms is None else f" until {_moment(grant.until_ms)}"
            words = f"{grant.by} granted {grant.tool} {_covered(grant)}{ends}"
            parts.append(shown(f"item {grant.item}: {words}", 4096))
            parts.append(
                shown(
                    f"  hint: yoi worker approvals {shell_word(worker.name)} "
                    f"--revoke {shell_word(grant.item)}",
                    512,
                    "cyan",
                )
            )
    return lines(parts or [Text("no call waits for a person, and no grant is in force")])


def _covered(grant: Grant) -> str:
    """Return in words which calls `grant` covers."""
    if grant.arguments is not None:
        return f"with {grant.arguments}"
    if grant.matches:
        return f"where {' and '.join(map(_match_words, grant.matches))}"
    return "in this run"


def _match_words(match: Mapping[str, Any]) -> str:
    at = match.get("at") or "the whole text"
    (test,) = [key for key in match if key != "at"] or ["?"]
    words = {"equals": "is", "one_of": "is one of", "prefix": "begins with"}.get(test, test)
    return f"{at} {words} {json.dumps(match.get(test), ensure_ascii=False)}"


def _moment(at_ms: int) -> str:
    return rfc3339(datetime.fromtimestamp(at_ms / 1000, UTC))


def sent(name: str, seq: int) -> RenderableType:
    """Say that a message is committed."""
    return shown(f"{name} has it as item {seq} of its history")


def asked(name: str, verb: str) -> RenderableType:
    """Say that `verb` is under way."""
    return shown(f"{verb}: {name} has been told")


def decided(call: ApprovalRequestData, *, approved: bool) -> RenderableType:
    """Say what was decided."""
    return shown(f"{'approved' if approved else 'denied'}: {call.name} ({call.id})")


def undone(name: str, seq: int) -> RenderableType:
    """Say that a summary is undone."""
    return shown(f"undone: the summary at item {seq}; {name} reads what it had replaced")


def restored(name: str, place: int) -> RenderableType:
    """Say that a text is sent again."""
    return shown(f"restored: {name} is sent item {place} again")


def message(entry: Mapping[str, Any]) -> RenderableType:
    """Return one message of what a model is asked on one line."""
    rest = {key: value for key, value in entry.items() if key != "role"}
    return shown(f"{entry.get('role', '?'):>9} {json.dumps(rest, ensure_ascii=False)}", 4096)


def code(made: Mapping[str, Any]) -> RenderableType:
    """Return a pairing code by itself."""
    return shown(str(made["code"]), style="bold")


def pairing_words(name: str, made: Mapping[str, Any]) -> str:
    """Say what a pairing code does."""
    return (
        f"say it where {made['plugin']} listens, within {made['minutes']} minutes: whoever says it "
        f"first is heard from then on ({made['tries']} tries); "
        f"see: yoi worker senders {shell_word(name)}"
    )


def senders(name: str, plugins: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return who may speak through each plugin."""
    if not plugins:
        return shown(f"{name} hears no plugin that runs")
    parts: list[RenderableType] = []
    for one in plugins:
        plugin = one["plugin"]
        if not one["filtered"]:
            words = f"{plugin}: anybody; no [[plugins.enabled.senders]] says who"
            parts.append(shown(words, 512, "yellow"))
            continue
        parts.append(shown(str(plugin), style="bold"))
        parts += [shown(f"  {sender} (yoi.toml)", 512) for sender in one["listed"]]
        for paired in one["paired"]:
            when = _moment(paired["at_ms"])
            parts.append(shown(f"  {paired['sender']} (paired {when})", 512))
            sender = shell_word(paired["sender"])
            hint = (
                f"yoi worker senders {shell_word(name)} --plugin {shell_word(plugin)} "
                f"--forget={sender}"
            )
            parts.append(shown(f"    hint: {hint}", 1024, "cyan"))
        if not one["listed"] and not one["paired"]:
            parts.append(shown(f"  nobody yet: yoi worker pair {shell_word(name)}"))
    return lines(parts)

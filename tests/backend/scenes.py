"""What the console is shown in tests and in its screenshots: a busy worker, a busy service."""

from datetime import datetime
from typing import Any

from tests.backend.console_world import Told

PROVENANCE = {
    "plugin": "slack",
    "plugin_id": "yoi.example.slack",
    "digest": "sha256:9f2c41d07be3a8e5c1d2",
    "ingress": "socket_mode",
    "event_id": "ev-81f2",
    "command_id": "cmd-3",
}


def at(minute: int, second: int) -> str:
    """Return a moment of today."""
    today = datetime.now().astimezone()
    return today.replace(hour=14, minute=minute, second=second, microsecond=0).isoformat()


def answer(told: Told, call: int, *parts: tuple[str, ...], end: bool = True) -> None:
    """Stream one answer: `("think", words)`, `("say", words)`, `("call", id, name, arguments)`."""
    told.tell("llm_call_start", {"llm_call": call, "model": "scripted"})
    for part in parts:
        if part[0] == "think":
            told.tell("thinking_start")
            for word in pieces(part[1]):
                told.tell("thinking_delta", {"text": word})
            if end:
                told.tell("thinking_done", {"text": part[1]})
        elif part[0] == "say":
            for word in pieces(part[1]):
                told.tell("text_delta", {"text": word})
            if end:
                told.tell("text_done", {"text": part[1]})
        else:
            _, call_id, name, arguments = part
            told.tell("tool_call_start", {"id": call_id, "name": name})
            for word in pieces(arguments):
                told.tell("tool_call_args_delta", {"id": call_id, "json": word})
            told.tell("tool_call_done", {"id": call_id, "name": name, "arguments": arguments})
    if end:
        ended = {"llm_call": call, "model": "scripted", "finish": "complete", **told.place()}
        told.tell("llm_call_end", ended)
        told.tell("usage", {"input_tokens": 412 * call, "output_tokens": 57})


def pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + [words[-1]]


def busy_worker(told: Told) -> None:
    """A notification, thinking, two calls, one of which waits, and what is in flight."""
    told.message("Please watch the incident channel today, and tell me before you page anybody.")
    told.tell("invoke_start", {"kind": "user_send"})
    told.tell("status", {"status": "running"})
    answer(told, 1, ("say", "I will. Nothing is open in #incidents right now."))
    told.tell("run_end", {"result": "finished", **told.place()})
    item = {
        "text": "#incidents — mara: checkout is slow since the 14:05 deploy, p99 is 4 s",
        "provenance": PROVENANCE,
        **told.place(),
    }
    told.tell("system_item", {"item": item})
    told.tell("invoke_start", {"kind": "notify"})
    thought = (
        "The report names a deploy. I should look at what went out at 14:05 before I bother "
        "anybody, and compare latency before and after."
    )
    call = '{"service": "checkout", "since": "2026-11-27T14:00:00Z", "limit": 5}'
    answer(
        told,
        2,
        ("think", thought),
        ("say", "Looking at the deploys of checkout since 14:00."),
        ("call", "c-71", "deploys", call),
    )
    result = {
        "id": "c-71",
        "name": "deploys",
        "summary": "1 deploy: checkout 2026.11.27-3 at 14:05, by ines",
        "output": '[{"service": "checkout", "version": "2026.11.27-3", "by": "ines"}]',
        "is_error": False,
        **told.place(),
    }
    told.tell("tool_result", result)
    alert = {"level": "warning", "source": "notify", "timestamp_ms": told.place()["at_ms"]}
    told.tell("alert", {**alert, "message": "slack: 3 notifications over the rate were dropped"})
    page = '{"team": "payments", "urgency": "high", "text": "checkout p99 4 s since 14:05"}'
    answer(
        told,
        3,
        (
            "say",
            "The 14:05 deploy of checkout is the only change. I would page the payments team.",
        ),
        ("call", "c-72", "page", page),
    )
    told.tell("approval_request", {"id": "c-72", "name": "page", "arguments": page})


PERMISSIONS = [
    {
        "label": "wss://wss-primary.slack.com/link",
        "kind": "websocket",
        "state": "covered",
        "explanation": "granted as asked",
        "broad": [],
    },
    {
        "label": "https://*.example.com/",
        "kind": "request",
        "state": "partly_covered",
        "explanation": "granted in part: answers only up to 1 MiB",
        "broad": ["any host below example.com"],
    },
    {
        "label": "notify worker triage",
        "kind": "permission",
        "state": "denied",
        "explanation": "it asks to put words before the worker triage; not granted",
        "broad": [],
    },
]


def service_status(**changed: Any) -> dict[str, Any]:
    """Return the status of a service with two connections and one socket of its own."""
    gateway = {
        "name": "gateway",
        "ingress": "socket_mode",
        "url": "wss://wss-primary.slack.com/link/",
        "state": "open",
        "session": "s-12",
        "subprotocol": None,
        "address": "203.0.113.7",
        "connected_since": at(2, 11),
        "last_frame_at": at(9, 40),
        "last_error": None,
        "last_error_code": None,
        "close_code": 1001,
        "close_reason": "going away",
        "next_dial_at": None,
        "reading_paused": False,
        "frames_in": 18_204,
        "frames_out": 911,
        "bytes_in": 7_340_032,
        "bytes_out": 220_160,
        "binary_ignored": 0,
        "queue_drops": 0,
        "send_failures": 0,
        "reconnects": 3,
        "gaps": 1,
        "ready": True,
        "failures": 0,
        "heartbeats": 240,
        "heartbeat_late_ms": 4,
    }
    feed = {
        **gateway,
        "name": "prices",
        "ingress": "ticker",
        "url": "wss://feed.example.com/v2/ticker",
        "state": "waiting",
        "connected_since": None,
        "last_frame_at": at(7, 2),
        "last_error": "no address could be connected",
        "last_error_code": "connection.refused",
        "close_code": 1006,
        "close_reason": "",
        "next_dial_at": at(10, 5),
        "down_since": at(7, 2),
        "last_error_at": at(9, 58),
        "frames_in": 512,
        "frames_out": 2,
        "bytes_in": 65_000,
        "bytes_out": 180,
        "reconnects": 7,
        "gaps": 2,
        "heartbeats": 0,
        "failures": 2,
    }
    pull = {
        "handle": 4,
        "owner": "service",
        "url": "wss://sync.example.com/changes",
        "state": "open",
        "address": "203.0.113.19",
        "opened_at": at(5, 0),
        "subprotocol": None,
        "reading_paused": False,
        "waiting_messages": 3,
        "waiting_bytes": 2048,
        "frames_in": 40,
        "frames_out": 12,
        "bytes_in": 18_000,
        "bytes_out": 900,
        "close_code": None,
    }
    status = {
        "name": "chat",
        "reference": "yoi.example.slack",
        "version": "1.4.0",
        "digest": "sha256:9f2c41d07be3a8e5c1d2",
        "runtime": "python 1",
        "lifecycle": "running",
        "health": "degraded",
        "plugin_status": {"channels": 12, "cursor": "1732718400.01"},
        "queue_depth": 37,
        "queue_capacity": 256,
        "queue_bytes": 41_000,
        "queue_bytes_capacity": 4_194_304,
        "dead_letters": 1,
        "last_error": None,
        "last_error_code": None,
        "restart_at": None,
        "counters": {
            "enqueued": 18_716,
            "succeeded": 18_641,
            "failed": 1,
            "retried": 2,
            "dropped": 36,
            "dead": 1,
            "commands_done": 912,
            "commands_denied": 2,
            "commands_unknown": 1,
            "restarts": 1,
        },
        "connections": [gateway, feed],
        "pull_sockets": [pull],
        "permissions": PERMISSIONS,
        "permissions_left_out": 2,
    }
    return {**status, **changed}


DIAGNOSTICS: list[dict[str, Any]] = [
    {
        "at": at(2, 11),
        "code": "notice.connected",
        "severity": "info",
        "scope": "connection:gateway",
        "message": "gateway is open (session s-12)",
    },
    {
        "at": at(5, 31),
        "code": "denied.not_granted",
        "severity": "warning",
        "scope": "service:chat",
        "message": "request to https://hooks.example.com/x was refused",
        "hint": "yoi plugin enable project:chat",
        "fields": {"kind": "request", "source_event_id": "ev-77"},
    },
    {
        "at": at(7, 2),
        "code": "notice.closed",
        "severity": "info",
        "scope": "connection:prices",
        "message": "prices closed with 1006",
    },
    {
        "at": at(7, 4),
        "code": "notice.gap",
        "severity": "warning",
        "scope": "connection:prices",
        "message": "frames of prices may be missing for 2144 ms (lost)",
        "fields": {"since_ms": 1, "until_ms": 2145, "why": "lost", "count": None},
    },
    {
        "at": at(9, 58),
        "code": "connection.refused",
        "severity": "warning",
        "scope": "connection:prices",
        "message": "no address could be connected",
        "fields": {"retry_in_ms": 6800},
    },
]


def busy_service(told: Told) -> None:
    """Diagnostics of a service that has seen something."""
    for entry in DIAGNOSTICS:
        told.tell("diagnostic", entry)


def busy_board(told: Told) -> None:
    """Work items in most states, one queued by its file alone, one damaged, one at work."""
    for number, (state, title) in enumerate(
        [
            ("planning", "Paint the fence"),
            ("ready", "Oil the hinges of every door"),
            ("queued", "Replace the lock of the back door"),
            ("queued", "Order new doormats"),
            ("closed", "Count the doors"),
        ]
    ):
        item = {"id": f"00001KY1ZK{number:03}", "title": title, "state": state, "events": 1}
        told.tell("ticket_changed", {**item, "undecided": number == 3})
    damage = "item.md, line 2: anchors and aliases are refused"
    told.tell("ticket_changed", {"id": "00001KY1ZKBAD", "damage": damage})
    item = {"title": "Mend the door", "state": "inprogress", "assignee": "worker:smith"}
    told.tell("ticket_changed", {"id": "00001KY1ZKCPC", **item, "events": 8})
    for number, (kind, author, step, text) in enumerate(
        [
            ("state_changed", "ada", "ready -> queued", "## State: queued"),
            ("state_changed", "worker:smith", "queued -> inprogress", "I take it."),
            ("plan", "worker:smith", "", "1. Take the door off.\n2. Oil the hinges."),
        ],
        6,
    ):
        entry = {"kind": kind, "author": author, "step": step, "text": text, "at": at(number, 0)}
        told.tell("thread_added", {"ticket": "00001KY1ZKCPC", "number": number, **entry})

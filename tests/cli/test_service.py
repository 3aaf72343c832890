"""`yoi service` against the real control socket, answered by prepared methods."""

import json

import msgspec
import pytest

from yoi.errors import ServiceError
from yoi.protocol.diagnostics import diagnostic
from yoi.protocol.status import (
    CommandResult,
    ConnectionStatus,
    Counters,
    PullSocketStatus,
    RequestStatus,
    ServiceStatus,
)

# Everything a stranger might put where a person looks: terminal, markup, bidi, C1, newline.
HOSTILE = "\x1b[2J\x1b]0;pwned\x07[red]x[/red]\u202egnp.exe\x9b31m\r\nfake: ok"
HOST = {"pid": 7, "workspace": "/ws", "started_at": "2026-01-02T03:04:05.000Z", "services": 1}
LETTERS = [
    {
        "event_id": "s1.7",
        "kind": "websocket_text",
        "ingress": "events",
        "attempt": 3,
        "code": "sandbox.exception",
        "message": f"ValueError: {HOSTILE}",
        "at": "2026-01-02T03:05:00.000Z",
        "event": {"payload": {"text": HOSTILE}},
    }
]


def status(name="echo", *, text="quiet", lifecycle="running"):
    return ServiceStatus(
        name=name,
        reference="project:echo",
        version="0.1.0",
        digest="sha256:" + "ab" * 32,
        runtime="python 1",
        lifecycle=lifecycle,
        plugin_status={"state": "ready", "data": text},
        queue_depth=3,
        queue_capacity=1024,
        queue_bytes=2048,
        queue_bytes_capacity=8 << 20,
        dead_letters=1,
        last_error=text,
        last_error_code="sandbox.exception",
        counters=Counters(enqueued=12, succeeded=9, failed=1, retried=1, commands_done=8,
                          commands_denied=1, restarts=2),
        commands=[
            CommandResult(command_id="c1", source_event_id="s1.1", kind="websocket_send",
                          status="denied", code="denied.not_granted", message=text,
                          at="2026-01-02T03:04:06.000Z")
        ],
        connections=[
            ConnectionStatus(name="gateway", ingress="events", url="wss://gateway.example.com/ws",
                             state="open", address="203.0.113.7:443",
                             connected_since="2026-01-02T03:04:05.123Z",
                             last_frame_at="2026-01-02T03:04:59.000Z", last_error=text,
                             last_error_code="connection.lost", close_code=1006, close_reason=text,
                             frames_in=10, frames_out=8, reconnects=1, gaps=1, send_failures=1)
        ],
        diagnostics=[
            diagnostic("2026-01-02T03:04:06.000Z", "denied.not_granted", "service:echo", text,
                       severity="warning", hint="yoi plugin enable project:echo"),
            *(diagnostic(f"2026-01-02T03:04:0{second}.000Z", "sandbox.exception", "service:echo",
                         text, severity="error",
                         trace=f"plugin.py:7 in Echo.on_text\n    {text}") for second in (7, 8)),
        ],
        pull_sockets=[
            PullSocketStatus(handle=3, owner="service", url="wss://x.example.com/", state="open",
                             address="203.0.113.9:443", opened_at="2026-01-02T03:04:05.000Z",
                             waiting_messages=2, frames_in=5, frames_out=4)
        ],
        requests=[
            RequestStatus(target="api", requests=9, failed=3, code="request.refused",
                          message="no address could be connected"),
            RequestStatus(target="files", requests=2),
        ],
    )  # fmt: skip


def methods(*statuses, calls=None, letters=LETTERS):
    seen = [] if calls is None else calls

    def answering(name, value):
        async def method(params):
            seen.append((name, params))
            return value

        return method

    async def one(params):
        seen.append(("service.status", params))
        for status in statuses:
            if status.name == params["name"]:
                return msgspec.to_builtins(status)
        raise ServiceError("service.unknown", "no service is called that", hint="yoi service list")

    return {
        "host.status": answering("host.status", HOST),
        "service.list": answering("service.list", msgspec.to_builtins(list(statuses))),
        "service.status": one,
        "service.restart": answering("service.restart", {}),
        "service.reconnect": answering("service.reconnect", {"connections": ["gateway"]}),
        "service.stop": answering("service.stop", {}),
        "service.dead_letters": answering("service.dead_letters", letters),
        "service.replay": answering("service.replay", {}),
        "service.discard": answering("service.discard", {}),
        "service.call": answering("service.call", {"summary": HOSTILE, "content": "a\nb"}),
    }


COMMANDS = {
    "list": ["list"],
    "status": ["status", "echo"],
    "watch": ["watch", "--count", "1"],
    "restart": ["restart", "echo"],
    "reconnect": ["reconnect", "echo"],
    "stop": ["stop", "echo"],
    "dead-letters": ["dead-letters", "echo"],
    "dead-letter": ["dead-letters", "echo", "s1.7"],
    "replay": ["replay", "echo", "s1.7"],
    "discard": ["discard", "echo", "s1.7"],
    "call": ["call", "echo", "post", "{}"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("form", ["txt", "json"])
def test_what_people_and_programs_see(name, form, yoi, workspace, serving, golden):
    """S9, W6: the two faces of every service command, kept as golden files."""
    with serving(workspace, methods(status())):
        ran = yoi("service", *COMMANDS[name], *(["--json"] if form == "json" else []))
    assert ran.status == 0
    golden(f"service-{name}.{form}", ran.out)


def troubled():
    """A service whose feed is down, with a missing secret and a hint of several lines."""
    one = status("prices")
    one.health, one.missing_secrets = "degraded", ["prices-key"]
    one.plugin_status_at = one.last_error_at = "2026-01-02T03:00:00.000Z"
    gateway = one.connections[0]
    gateway.state, gateway.connected_since, gateway.last_error = "waiting", None, "no route"
    gateway.down_since, gateway.last_error_at = "2026-01-02T03:01:00.000Z", "2026-01-02T03:05:00Z"
    gateway.next_dial_at = "2026-01-02T03:05:48.000Z"
    hint = "put it back, or switch it off:\nyoi plugin disable prices"
    one.diagnostics[0] = msgspec.structs.replace(one.diagnostics[0], hint=hint)
    return one


@pytest.mark.parametrize("name", ["list", "status"])
@pytest.mark.parametrize("columns", [60, 100])
def test_trouble_and_health_fit_a_narrow_screen(
    name, columns, yoi, workspace, serving, golden, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    command = [part.replace("echo", "prices") for part in COMMANDS[name]]
    with serving(workspace, methods(status(), troubled())):
        ran = yoi("service", *command)
    assert ran.status == 0
    golden(f"service-{name}-{columns}.txt", ran.out)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_no_strangers_text_reaches_a_terminal_raw(name, extra, yoi, workspace, serving):
    with serving(workspace, methods(status(text=HOSTILE, lifecycle=HOSTILE))):
        ran = yoi("service", *COMMANDS[name], *extra)
    assert ran.status == 0
    for forbidden in ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\nfake: ok"):
        assert forbidden not in ran.out + ran.err
    if not extra and name in ("status", "dead-letters", "call"):
        assert "[red]x[/red]" in ran.out.replace("\n", "").replace(" ", "")


def test_without_a_host_the_next_command_is_named(yoi, workspace, golden):
    ran = yoi("service", "list")
    assert (ran.status, ran.out) == (3, "")
    golden("no-host.txt", ran.err)


def test_the_error_is_json_where_json_was_asked_for(yoi, workspace):
    ran = yoi("service", "list", "--json")
    assert (ran.status, ran.err) == (3, "")
    assert json.loads(ran.out)["error"]["code"] == "control.unreachable"


def test_the_hosts_own_refusal_keeps_its_code_and_exits_1(yoi, workspace, serving):
    with serving(workspace, methods(status())):
        ran = yoi("service", "status", "other")
    assert ran.status == 1
    assert "[service.unknown]" in ran.err
    assert "hint: yoi service list" in ran.err


def test_an_answer_of_another_shape_is_refused(yoi, workspace, serving):
    async def odd(params):
        return [{"name": 7}]

    with serving(workspace, {"host.status": odd, "service.list": odd}):
        ran = yoi("service", "list")
    assert ran.status == 1
    assert "[control.refused]" in ran.err


def test_no_services_says_what_to_do(yoi, workspace, serving):
    with serving(workspace, methods()):
        ran = yoi("service", "list")
    assert "nothing is enabled" in ran.out
    assert "yoi plugin list" in ran.out


@pytest.mark.parametrize(("command", "key"), [("replay", "replayed"), ("discard", "discarded")])
def test_the_host_is_asked_for_each_event_by_name(command, key, yoi, workspace, serving):
    calls = []
    with serving(workspace, methods(status(), calls=calls)):
        ran = yoi("service", command, "echo", "--all", "--json")
    assert json.loads(ran.out)[key] == ["s1.7"]
    assert (f"service.{command}", {"name": "echo", "event_id": "s1.7"}) in calls


@pytest.mark.parametrize("arguments", [[], ["s1.7", "--all"]])
@pytest.mark.parametrize("command", ["replay", "discard"])
def test_events_or_all_are_needed_not_both(command, arguments, yoi, workspace):
    assert yoi("service", command, "echo", *arguments).status == 2


@pytest.mark.parametrize("text", ["[]", "{", "nope", "[" * 100_000])
def test_a_tools_input_must_be_an_object(text, yoi, workspace):
    assert yoi("service", "call", "echo", "post", text).status == 2


def test_a_tools_input_reaches_the_host(yoi, workspace, serving):
    calls = []
    with serving(workspace, methods(status(), calls=calls)):
        yoi("service", "call", "echo", "post", '{"a": 1}')
    assert calls == [("service.call", {"name": "echo", "tool": "post", "input": {"a": 1}})]


def test_an_unknown_dead_letter_is_a_usage_error(yoi, workspace, serving):
    with serving(workspace, methods(status())):
        assert yoi("service", "dead-letters", "echo", "nope").status == 2


def test_a_quarantined_service_says_why_after_a_restart(yoi, workspace, serving):
    with serving(workspace, methods(status(lifecycle="quarantined", text="it broke"))):
        ran = yoi("service", "restart", "echo")
    assert "echo is quarantined: it broke" in ran.out


@pytest.mark.parametrize("depth", [100, 900])
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_plugin_cannot_hide_its_status_behind_nesting(depth, extra, yoi, workspace, serving):
    """S9: whatever the plugin says about itself, the host's own account of it is shown."""
    nested = 0
    for _ in range(depth):
        nested = [nested]
    one = msgspec.to_builtins(status())
    one["plugin_status"] = {"state": nested}

    async def answer(params):
        return one

    with serving(workspace, {**methods(status()), "service.status": answer}):
        ran = yoi("service", "status", "echo", *extra)
    assert ran.status == 0, ran.err
    assert "project:echo" in ran.out


@pytest.mark.parametrize("command", [["status", "echo"], ["list"]])
def test_what_concerns_all_services_is_said_beside_each(command, yoi, workspace, serving):
    """N2: the proxy that looks names up, and a host.toml that cannot be read, in words."""
    note = "names are looked up by the proxy http://proxy.example:3128"
    alert = {"kind": "host_settings_unusable", "scope": "host", "message": "it is gone"}
    host = {**HOST, "network": {"note": note}, "alerts": [{**alert, "hint": "put it back"}]}

    async def host_status(params):
        return host

    with serving(workspace, {**methods(status()), "host.status": host_status}):
        ran = yoi("service", *command)
        told = yoi("service", *command, "--json")
    assert note in ran.err
    assert "it is gone; put it back" in ran.err
    assert json.loads(told.out)["host"] == host
    assert told.err == ""


@pytest.mark.parametrize("command", [["status", "echo"], ["list"]])
def test_a_host_that_is_starting_is_not_one_without_services(command, yoi, workspace, serving):
    """A first start prepares the runner for many seconds: nothing is wrong meanwhile."""

    async def host_status(params):
        return {**HOST, "services": 0, "starting": True}

    with serving(workspace, {**methods(), "host.status": host_status}):
        ran = yoi("service", *command)
    assert "the host is starting" in ran.err
    assert "nothing is enabled" not in ran.out


def test_where_a_status_is_cut_it_says_where_the_rest_is(yoi, workspace, serving):
    points_to = "whole in: yoi service status echo --json"
    with serving(workspace, methods(status())):
        assert points_to not in yoi("service", "status", "echo").out
    long = msgspec.to_builtins(status())
    long["plugin_status"] = {"state": "ready", "data": "x" * 600 + "the end"}
    many = msgspec.to_builtins(status())
    many["diagnostics"] = [
        diagnostic(
            "2026-01-02T03:04:06.000Z", "notice.gap", "service:echo", str(n), severity="error"
        )
        for n in range(14)
    ]
    for one, words in ((long, ""), (many, "4 earlier, ")):

        async def answer(params, one=one):
            return msgspec.to_builtins(one)

        with serving(workspace, {**methods(status()), "service.status": answer}):
            ran = yoi("service", "status", "echo")
            told = yoi("service", "status", "echo", "--json")
        assert words + points_to in ran.out
        assert "the end" in told.out or one is many

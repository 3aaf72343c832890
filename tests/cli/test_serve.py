"""`yoi serve` as a real process: its lines, its socket, its signals."""

import json
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tests.cli.packages import FORBIDDEN, HOSTILE

from yoi.cli.output import Output
from yoi.cli.serve import Printer
from yoi.protocol.diagnostics import diagnostic


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_ready_answers_and_drains(number, yoi, workspace):
    """U3: a ready line, the control socket with mode 0600, exit 0 on a signal."""
    from yoi.control.wire import socket_path

    with subprocess.Popen(
        [sys.executable, "-m", "yoi.cli", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=workspace,
    ) as child:
        try:
            ready = json.loads(child.stdout.readline())
            assert ready.pop("url").startswith("http://127.0.0.1:")
            assert ready == {
                "event": "ready", "workspace": str(workspace), "services": [], "running": [],
            }  # fmt: skip
            assert socket_path(workspace).stat().st_mode & 0o777 == 0o600
            host = json.loads(yoi("service", "list", "--json").out)["host"]
            assert host["pid"] == child.pid
            second = yoi("serve")
            assert second.status == 1
            assert "[control.in_use]" in second.err
            child.send_signal(number)
            assert child.wait(20) == 0
        finally:
            child.kill()
    assert not socket_path(workspace).exists()


def entry(**changes):
    values = {
        "at": "2026-01-02T03:04:05.000Z",
        "code": "denied.not_granted",
        "scope": f"service:{HOSTILE}",
        "message": HOSTILE,
        "severity": "warning",
        "hint": HOSTILE,
    }
    return diagnostic(**{**values, **changes})


@pytest.mark.parametrize("as_json", [True, False])
def test_a_diagnostic_is_escaped(as_json, workspace, capsys):
    Printer(Output("serve", as_json), workspace, frozenset()).tell(entry(text=HOSTILE))
    printed = capsys.readouterr().out
    assert "[red]x[/red]" in printed
    for forbidden in FORBIDDEN:
        assert forbidden not in printed


def test_a_runtime_says_that_its_address_is_no_page_for_people(workspace, capsys):
    printer = Printer(Output("runtime", False), workspace, frozenset(), "for backends")
    host = SimpleNamespace(
        services=[], url="https://west.example.com:7718", new_console_url=lambda: None
    )
    printer.ready(host)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1] == "  for backends  https://west.example.com:7718"
    assert "no service is enabled here" in printed.err


def test_a_diagnostic_is_one_line_and_its_hint_another(workspace, capsys):
    Printer(Output("serve", False), workspace, frozenset()).tell(entry(message="m" * 400))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_plugins_print_is_left_out_unless_asked_for(workspace, capsys):
    log = entry(code="notice.log", severity="info")
    Printer(Output("serve", False), workspace, frozenset({"notice.log"})).tell(log)
    assert capsys.readouterr().out == ""
    Printer(Output("serve", True), workspace, frozenset({"notice.log"})).tell(log)
    assert json.loads(capsys.readouterr().out)["diagnostic"]["code"] == "notice.log"


def test_a_port_that_is_taken_is_said_with_who_may_have_it_and_the_setting(yoi, workspace):
    """The address people know must not silently become another one."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        ran = yoi("serve", "--port", str(port))
    assert ran.status == 1
    assert f"port {port} of 127.0.0.1 is taken" in ran.err
    assert "another Yoi or another program" in ran.err
    assert f'[observation] listen = "127.0.0.1:{port + 1}"' in ran.err
    assert "yoi serve --port 0" in ran.err

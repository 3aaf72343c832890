"""The control socket: private, bounded, and every refusal is typed."""

import asyncio
import os
import socket
import stat

import pytest
from tests.control.served import served

from yoi.control import client as control_client
from yoi.control.server import claimed
from yoi.control.wire import socket_path
from yoi.errors import ControlError, ServiceError
from yoi.limits import Limits


@pytest.fixture
async def server(tmp_path):
    async def echo(params):
        return params

    async def refuse(params):
        raise ServiceError("service.unknown", "no service", hint="yoi service list")

    async def clumsy(params):
        return params["missing"]

    async def deep(params):
        value = []
        for _ in range(5000):
            value = [value]
        return value

    async with served(
        tmp_path,
        {"echo": echo, "refuse": refuse, "clumsy": clumsy, "deep": deep},
        Limits(control_clients=2, control_request_bytes=4096),
    ) as server:
        yield server


async def call(workspace, method, **params):
    return await asyncio.to_thread(control_client.call, workspace, method, **params)


async def test_a_call_is_answered(server, tmp_path):
    assert await call(tmp_path, "echo", a=[1, "é"]) == {"a": [1, "é"]}


async def test_the_socket_is_private(server, tmp_path):
    path = socket_path(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_hosts_own_error_reaches_the_client(server, tmp_path):
    with pytest.raises(ControlError) as refused:
        await call(tmp_path, "refuse")
    assert (refused.value.code, refused.value.hint) == ("service.unknown", "yoi service list")


@pytest.mark.parametrize("method", ["clumsy", "no.such.method", "deep"])
async def test_a_bad_request_is_refused_and_the_server_lives(server, tmp_path, method):
    with pytest.raises(ControlError) as refused:
        await call(tmp_path, method)
    assert refused.value.code == "control.refused"
    assert await call(tmp_path, "echo") == {}


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b'{"method": 1}\n', b'{"x": 1}\n'])
async def test_garbage_gets_a_typed_answer(server, tmp_path, line):
    reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
    writer.write(line)
    answer = await reader.readline()
    assert b"control.refused" in answer
    writer.close()


async def test_an_endless_line_is_cut_off(server, tmp_path):
    reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
    writer.write(b"x" * 100_000)
    assert await reader.read() == b""
    writer.close()
    assert await call(tmp_path, "echo") == {}


async def test_clients_are_bounded(server, tmp_path):
    path = str(socket_path(tmp_path))
    idle = [await asyncio.open_unix_connection(path) for _ in range(2)]
    reader, writer = await asyncio.open_unix_connection(path)
    assert await reader.read() == b""
    for _, held in [*idle, (reader, writer)]:
        held.close()


async def test_a_second_host_in_the_same_workspace_is_refused(server, tmp_path):
    with pytest.raises(ControlError) as refused, claimed(tmp_path):
        pass
    assert refused.value.code == "control.in_use"
    assert await call(tmp_path, "echo") == {}


async def test_a_socket_left_by_a_dead_host_is_replaced(tmp_path):
    path = socket_path(tmp_path)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with served(tmp_path, {}):
        assert path.exists()
    assert not path.exists()


async def test_two_hosts_that_start_at_once_do_not_both_win(tmp_path):
    """The lock, not a look at the socket, decides."""
    everybody_tried = asyncio.Event()
    codes: list[str] = []

    def note(code):
        codes.append(code)
        if len(codes) == 4:
            everybody_tried.set()

    async def host():
        try:
            async with served(tmp_path, {}):
                note("runs")
                await everybody_tried.wait()
        except ControlError as exc:
            note(exc.code)

    await asyncio.gather(*(host() for _ in range(4)))
    assert sorted(codes) == [*["control.in_use"] * 3, "runs"]
    async with served(tmp_path, {}):
        pass


async def test_a_link_in_a_strangers_project_is_refused_and_what_it_names_left_alone(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))  # the path may be long
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (victim / "control.sock").write_text("mine")
    run = socket_path(tmp_path / "project").parent
    run.parent.mkdir(parents=True, exist_ok=True)
    run.symlink_to(victim)
    with pytest.raises(ControlError) as refused:
        async with served(tmp_path / "project", {}):
            pass
    assert refused.value.code == "control.socket"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755
    assert (victim / "control.sock").read_text() == "mine"


@pytest.mark.parametrize("obstacle", ["folder", "file"])
async def test_what_stands_in_the_way_is_a_typed_error(tmp_path, obstacle):
    path = socket_path(tmp_path)
    if obstacle == "folder":
        path.mkdir(parents=True)
    else:
        path.parent.parent.mkdir(parents=True)
        path.parent.write_text("x")
    with pytest.raises(ControlError) as refused:
        async with served(tmp_path, {}):
            pass
    assert refused.value.code == "control.socket"


async def test_the_folder_is_private_whatever_the_umask(tmp_path):
    path = socket_path(tmp_path)
    old = os.umask(0)
    try:
        async with served(tmp_path, {}):
            modes = [
                stat.S_IMODE(p.stat().st_mode) for p in (path.parent.parent, path.parent, path)
            ]
    finally:
        os.umask(old)
    assert modes == [0o700, 0o700, 0o600]


async def test_a_socket_of_another_account_is_told_nothing(server, tmp_path, monkeypatch):
    """Somebody who got hold of the path first does not hear what a person asks."""
    monkeypatch.setattr(control_client, "peer_account", lambda sock: os.getuid() + 1)
    with pytest.raises(ControlError) as refused:
        await call(tmp_path, "echo", secret=1)
    assert refused.value.code == "control.socket"


async def test_an_answer_over_the_bound_is_a_typed_refusal(tmp_path):
    async def much(params):
        return "x" * 5000

    async def defect(params):
        raise RuntimeError("oh")

    methods = {"much": much, "defect": defect}
    async with served(tmp_path, methods, Limits(control_response_bytes=4096)):
        with pytest.raises(ControlError) as refused:
            await call(tmp_path, "much")
        assert refused.value.code == "control.refused"
        with pytest.raises(ControlError) as refused:
            await call(tmp_path, "defect")
        assert refused.value.code == "usage.internal"


async def test_methods_are_offered_for_as_long_as_somebody_can_answer_them(server, tmp_path):
    async def more(params):
        return "more"

    with server.offering({"more": more}):
        assert await call(tmp_path, "more") == "more"
    with pytest.raises(ControlError) as refused:
        await call(tmp_path, "more")
    assert refused.value.code == "control.refused"
    assert await call(tmp_path, "echo") == {}


def test_no_host_means_a_typed_error_that_names_the_next_command(tmp_path):
    with pytest.raises(ControlError) as refused:
        control_client.call(tmp_path, "echo")
    assert refused.value.code == "control.unreachable"
    assert refused.value.hint == "start one with: yoi serve"
    assert refused.value.exit_status == 3


def test_a_long_workspace_path_still_has_a_socket(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    deep = tmp_path / ("d" * 120)
    assert len(str(socket_path(deep))) < 108 or socket_path(deep).parent.name == "yoi"
    assert socket_path(deep) != socket_path(tmp_path / ("e" * 120))


def test_a_silent_server_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    path = socket_path(tmp_path)
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(control_client, "LIMITS", Limits(control_ms=50))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(ControlError) as refused:
            control_client.call(tmp_path, "echo")
    assert refused.value.code == "control.unreachable"

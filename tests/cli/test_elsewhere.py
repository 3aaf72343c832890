"""What a person and a program are told of the other machines behind an answer."""

import asyncio
import json

import msgspec
import pytest
from tests.cli.test_service import HOST, status

from yoi.cli.host_calls import ask
from yoi.control.server import ControlServer, claimed
from yoi.control.wire import BACKEND, Answer
from yoi.errors import ClusterError, ControlError

OWN = "\x1b[2Jb"


def answering(value):
    async def answer(_):
        return value

    return answer


async def _unanswered(_):
    raise ClusterError("cluster.unanswered", "b was asked", hint="yoi service list")


@pytest.fixture
def methods():
    rows = [msgspec.to_builtins(status(name)) for name in ("one", "two")]
    return {
        "host.status": answering(HOST),
        "service.list": answering(Answer(ok=rows, machines={"two": OWN}, silent=["c"])),
        "service.status": answering(Answer(ok=rows[0], machine=OWN)),
        "service.restart": _unanswered,
        "service.dead_letters": answering(Answer(ok=[], machine="b")),
    }


def test_the_machine_is_named_and_who_is_silent_too(yoi, workspace, serving, methods):
    with serving(workspace, methods):
        told = json.loads(yoi("service", "list", "--json").out)
        assert (told["machines"], told["silent"]) == ({"two": OWN}, ["c"])
        ran = yoi("service", "list")
        assert "c did not answer" in ran.err
        assert [row.split()[1] for row in ran.out.splitlines()[2:4]] == ["here", "\\x1b[2Jb"]
        told = json.loads(yoi("service", "status", "one", "--json").out)
        assert told["machine"] == OWN
        ran = yoi("service", "status", "one")
        assert "on machine \\x1b[2Jb" in ran.err
        assert json.loads(yoi("service", "dead-letters", "one", "--json").out)["machine"] == "b"
        # What an answer said is not said of the next command's.
        refused = json.loads(yoi("service", "restart", "one", "--json").out)
        assert refused["error"]["code"] == "cluster.unanswered"
    with serving(workspace, {**methods, "service.list": answering([])}):
        told = json.loads(yoi("service", "list", "--json").out)
        assert not {"machine", "machines", "silent"} & set(told)


async def test_where_a_backend_of_a_cluster_runs_it_is_asked(workspace, methods):
    async def asked(method):
        return await asyncio.to_thread(ask, workspace, method, name="one")

    with claimed(workspace, BACKEND):
        async with ControlServer(workspace, methods, part=BACKEND):
            assert (await asked("service.status"))["name"] == "one"
        # A backend of no cluster, or one that is gone: then there is no host.
        async with ControlServer(workspace, {"observation.access": answering({})}, part=BACKEND):
            with pytest.raises(ControlError) as refused:
                await asked("service.status")
    assert (refused.value.code, refused.value.hint) == (
        "control.unreachable",
        "start one with: yoi serve",
    )

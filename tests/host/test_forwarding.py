"""Which commands another machine carries out is a closed list, with a word on each method."""

import pytest

from yoi.errors import ControlError, ServiceError, WorkerError
from yoi.host.commands import COMMAND
from yoi.host.control_methods import HostMethods
from yoi.host.forwarding import ABOUT, DRAIN, FORWARDED, READ_ONLY, naming_the_remedy
from yoi.host.mcp_events import McpEvents
from yoi.host.pairing_methods import PairingMethods
from yoi.mcp.clients import McpClients
from yoi.mcp.servers import McpServers
from yoi.workers.operations import WorkerOperations

OF_THIS_MACHINE = {"host.status", "host.reload"}
"""Besides all that begins with `mcp.`: MCP clients have what runs where they are."""


def test_every_method_of_the_control_socket_is_on_the_list_or_stays_here():
    rooms = (HostMethods, WorkerOperations, PairingMethods, McpServers, McpClients, McpEvents)
    names = {name for room in rooms for name in object.__new__(room).methods}
    forwarded = {name for name in names - OF_THIS_MACHINE if not name.startswith("mcp.")}
    assert forwarded | {DRAIN, COMMAND} == FORWARDED
    assert READ_ONLY < FORWARDED


async def test_without_a_key_a_refusal_says_what_is_missing():
    async def elsewhere(params):
        raise WorkerError("worker.elsewhere", "w runs on b", hint="yoi cluster leases")

    async def other(params):
        raise ServiceError("service.stopping", "it stops")

    methods = naming_the_remedy(
        {**dict.fromkeys(ABOUT, elsewhere), "service.stop": other, "host.reload": other}
    )
    with pytest.raises(ControlError) as refused:
        await methods["worker.approve"]({"name": "w"})
    assert (refused.value.code, refused.value.message) == ("worker.elsewhere", "w runs on b")
    leases, remedy = refused.value.hint.splitlines()
    assert leases == "yoi cluster leases"
    assert "docs/how-to/several-machines.md" in remedy
    with pytest.raises(ServiceError):
        await methods["service.stop"]({"name": "w"})
    assert methods["host.reload"] is other

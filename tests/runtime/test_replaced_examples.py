"""D4: templates and small examples go on, on the same socket, when their instance is lost.

Those whose ids must grow, or that subscribe, have tests of their own beside them (tests/examples).
"""

import json
from pathlib import Path

import pytest
from tests.runtime.test_frame_path import Workspace, gateway, link

from yoi.decisions.recording import enable
from yoi.errors import GuestTrapped
from yoi.packages import Store, add_to_store
from yoi.packages.templates import create_from_template
from yoi.testing.trusting import entry_as_requested

EXAMPLES = Path(__file__).parents[2] / "examples"


def asked(number):
    return json.dumps({"type": "message", "id": number, "channel": "c", "user": "u", "text": "hi"})


def template(folder):
    create_from_template("websocket", folder)


def example(name):
    def copy(folder):
        folder.mkdir()
        for path in (EXAMPLES / name).glob("plugin.*"):
            (folder / path.name).write_text(path.read_text())

    return copy


PLUGINS = {
    "template": template,
    "echo": example("echo"),
    "triage-agent": example("triage-agent"),
}


@pytest.mark.parametrize("name", PLUGINS)
async def test_it_answers_on_the_same_socket_when_its_instance_was_lost(
    name, tmp_path, compiled_runner
):
    workspace = Workspace(tmp_path / "w")
    workspace.folder.mkdir()
    source = tmp_path / "mine"
    PLUGINS[name](source)
    async with gateway() as server:
        manifest = source / "plugin.toml"
        text = manifest.read_text().replace("127.0.0.1:8765", f"127.0.0.1:{server.port}")
        manifest.write_text(text)
        package = add_to_store(source, Store.project(workspace.folder))
        enable(workspace.folder, entry_as_requested(package, "mine"))
        async with workspace.runtime() as host:
            await server.until(lambda: server.clients)
            await server.ask(asked(1))
            await server.until(lambda: len(server.received) == 1)
            service = host.services["mine"]
            before, instance = link(service).session, service._slot.instance
            service.lost_in_call(instance, GuestTrapped("sandbox.trap", "unreachable"))
            await server.ask(asked(2))
            await server.until(lambda: len(server.received) == 2)
            assert link(service).session == before
            assert service._slot.instance is not instance
            assert service.status().counters.failed == 0
    assert len(server.clients) == 1

"""W9: a secret in a handshake header, on a connection that the host dials by itself."""

import contextlib

import msgspec
import pytest
from tests.canary import Canaries
from tests.runtime.hosts import watching_host
from tests.runtime.test_frame_path import Gateway, Workspace
from websockets.asyncio.server import serve

from yoi.packages import EnabledEntry, Store, add_to_store, read_package
from yoi.packages.edits import write_enablement
from yoi.runtime.workspace import operator_file
from yoi.secrets import Settings, open_store
from yoi.types import InstanceName

MANIFEST = """
schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"

[[ingresses]]
name = "events"

[[connections]]
name = "gateway"
ingress = "events"
url = "{url}"
backoff = {{ first_ms = 100, max_ms = 200 }}
headers = {{ User-Agent = "feed/1 (+https://example.com)" }}
insert = [{{ at = "/headers/authorization", secret = "token", prefix = "Bearer " }}]

[[secrets]]
name = "token"
connection = "gateway"
at = ["/headers/authorization"]
"""

PLUGIN = """
from yoi_pdk import *

class Echo(Plugin):
    def on_text(self, event, ctx):
        return event.reply(event.text)
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch, compiled_runner):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = Workspace(tmp_path / "w")
    made.folder.mkdir()
    return made


@contextlib.asynccontextmanager
async def gateway(protocols=()):
    made, asked = Gateway(), []

    def note(connection, request):
        asked.append(request)

    def select(connection, offered):
        return next((one for one in protocols if one in offered), None)

    options = {"process_request": note, "select_subprotocol": select}
    async with serve(made.handle, "127.0.0.1", 0, **options) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made, asked


def keep(workspace, value, name="kept"):
    open_store(workspace.folder, Settings.load(workspace.folder), prompt=None).set(name, value)


def install(workspace, url, manifest=MANIFEST, plugin=PLUGIN):
    source = workspace.folder / "source"
    source.mkdir()
    (source / "plugin.toml").write_text(manifest.format(url=url))
    (source / "plugin.py").write_text(plugin)
    add_to_store(source, Store.project(workspace.folder))
    package = read_package(next(Store.project(workspace.folder).path.iterdir()), "project")
    write_enablement(
        operator_file(workspace.folder),
        EnabledEntry(
            reference="project:echo",
            name=InstanceName("echo"),
            version=package.manifest.version,
            digest=package.digest,
            granted=package.manifest.requested.granting({"token": "kept"}),
        ),
    )


async def test_the_host_dials_by_itself_with_the_secret_as_it_is_then(workspace):
    canaries = Canaries()
    first, second = "first-1a2b3c4d5e6f7a8b", "second-1a2b3c4d5e6f7a8b"
    canaries.mark("first", first)
    canaries.mark("second", second)
    async with gateway() as (server, asked):
        install(workspace, server.url)
        keep(workspace, "of no interest", "another")
        async with watching_host(workspace.folder, workspace.diagnostics.append) as runtime:
            # Nothing is dialled without it, and the person reads which secret is missing.
            await workspace.diagnostics.until(lambda: "secret.missing" in workspace.codes())
            assert asked == []
            keep(workspace, first)
            await server.until(lambda: server.clients)
            await server.ask("hello")
            await server.until(lambda: server.received == ["hello"])
            keep(workspace, second)
            server.clients[-1].transport.abort()
            await server.until(lambda: len(server.clients) == 2)
            status = runtime.services["echo"].status()
        assert asked[0].headers["Authorization"] == f"Bearer {first}"
        assert asked[0].headers["User-Agent"] == "feed/1 (+https://example.com)"
        assert asked[-1].headers["Authorization"] == f"Bearer {second}"
        traces = canaries.grep_everything(
            status=msgspec.json.encode(status),
            diagnostics=[msgspec.to_builtins(one) for one in workspace.diagnostics],
            files=workspace.folder,
        )
    assert traces == []

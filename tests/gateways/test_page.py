"""docs/how-to/gateways.md: what it says of a protocol is run against a server of that protocol."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.discord_gateway.gateway import DiscordGateway
from tests.gateways import servers
from tests.peers import running
from tests.runtime.heard import Heard
from tests.runtime.hosts import watching_host
from tests.slack.gateway import SlackGateway
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from yoi.packages import EnabledEntry, Store, add_to_store, read_package
from yoi.packages.edits import write_enablement
from yoi.runtime.workspace import operator_file
from yoi.secrets import Settings, open_store
from yoi.testing.http_server import HttpAnswer, HttpRequest, HttpServer
from yoi.types import InstanceName

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/gateways.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))
Serve = Callable[[ServerConnection], Awaitable[None]]
HEAD = """
schema_version = 1
id = "page"
name = "Page"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:{name}"

[[ingresses]]
name = "events"

"""
ROWS: dict[str, tuple[Serve, str]] = {
    "GraphQL subscriptions": (servers.graphql, "order 7"),
    "Jupyter kernel": (servers.jupyter, "result: nan"),
    "Chrome DevTools": (servers.devtools, "2 tabs"),
    "Socket.IO": (servers.socketio, ""),
    "Phoenix channels": (servers.phoenix, ""),
    "IRC over WebSocket": (servers.irc, ""),
    "Exchange feed": (servers.exchange, "2 updates of BTCUSDT are missing"),
}


def block(section: str, kind: str) -> str:
    """Return the one block of code of a kind in a section."""
    [found] = re.findall(rf"^```{kind}\n(.*?)^```", SECTIONS[section], re.S | re.M)
    return str(found)


@dataclass
class Session:
    """What became of the sockets of one server."""

    serve: Serve
    done: asyncio.Queue[BaseException | None] = field(default_factory=asyncio.Queue)
    held: list[ServerConnection] = field(default_factory=list)
    port: int = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.held.append(socket)
        try:
            await self.serve(socket)
        except Exception as exc:
            self.done.put_nowait(exc)
        else:
            self.done.put_nowait(None)
            await socket.wait_closed()

    async def finished(self) -> None:
        """Return once a client has done what the protocol wants; raise what it did not do."""
        async with asyncio.timeout(servers.WAIT_SECONDS):
            failed = await self.done.get()
        if failed is not None:
            raise failed


@asynccontextmanager
async def serving(handler: Serve) -> AsyncIterator[Session]:
    made = Session(handler)
    names = [Subprotocol("graphql-transport-ws")]
    async with serve(
        made.handle,
        "127.0.0.1",
        0,
        select_subprotocol=lambda _, offered: next((n for n in names if n in offered), None),
        close_timeout=1,
    ) as server:
        made.port = next(iter(server.sockets)).getsockname()[1]
        yield made


def keep(folder: Path, value: str) -> None:
    open_store(folder, Settings.load(folder), prompt=None).set("kept", value)  # type: ignore[arg-type]


def install(folder: Path, section: str, port: int, http_port: int) -> None:
    """Install what the page shows, its addresses set to the servers of the test."""
    plugin = block(section, "python")
    manifest = HEAD.format(name=re.findall(r"class (\w+)\(Plugin\)", plugin)[0])
    manifest += block(section, "toml")
    manifest = re.sub(r'url = "wss://[^/"]+', f'url = "ws://127.0.0.1:{port}', manifest)
    manifest = manifest.replace(
        '"ws", host = "127.0.0.1", port = 9222', f'"ws", host = "127.0.0.1", port = {port}'
    )
    manifest = manifest.replace("port = 9222", f"port = {http_port}")
    manifest = manifest.replace('name = "events"', 'name = "events"\ndeadline_ms = 5000', 1)
    source = folder / "source"
    source.mkdir(parents=True)
    (source / "plugin.toml").write_text(manifest)
    (source / "plugin.py").write_text(plugin)
    add_to_store(source, Store.project(folder))
    package = read_package(next(Store.project(folder).path.iterdir()), "project")
    requested = package.manifest.requested
    names = {use.name: "kept" for use in requested.secrets}
    write_enablement(
        operator_file(folder),
        EnabledEntry(
            reference="project:page",
            name=InstanceName("page"),
            version=package.manifest.version,
            digest=package.digest,
            granted=requested.granting(names),
        ),
    )


@pytest.fixture
def folder(tmp_path: Path, compiled_runner: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "w" / ".yoi").mkdir(parents=True)
    keep(tmp_path / "w", servers.TOKEN)
    return tmp_path / "w"


@pytest.mark.parametrize("section", ROWS)
async def test_what_the_page_says_of_a_protocol_works(section: str, folder: Path) -> None:
    handler, words = ROWS[section]
    heard = Heard()

    def version(request: HttpRequest) -> HttpAnswer:
        url = f"ws://127.0.0.1:{session.port}/devtools/browser/3f1c"
        return HttpAnswer.of_json({"Browser": "Chrome/1", "webSocketDebuggerUrl": url})

    async with serving(handler) as session, HttpServer(version) as http:
        install(folder, section, session.port, http.port)
        async with watching_host(folder, heard.append):
            await session.finished()
            await heard.until(lambda: any(words in entry.message for entry in heard))
            if section == "Exchange feed":
                # After a gap the plugin begins anew, and subscribes again.
                await session.finished()
    bad = [one for one in heard if one.severity == "error"]
    assert not bad, [(one.code, one.message) for one in bad]


async def test_a_wrong_token_that_is_told_in_words_waits_for_a_changed_secret(folder: Path) -> None:
    """The server closes with 1000; the code says that it is final until the secret is another."""
    keep(folder, "wrong-0123456789abcdef")
    heard = Heard()
    async with serving(servers.irc) as session:
        install(folder, "IRC over WebSocket", session.port, 1)
        async with watching_host(folder, heard.append) as runtime:
            await session.finished()

            def link() -> str | None:
                [found] = runtime.services["page"].status().connections
                return found.halt

            await heard.until(lambda: link() == "refused")
            keep(folder, servers.TOKEN)
            await session.finished()
            assert len(session.held) == 2


def test_every_row_of_the_table_is_run_by_a_test() -> None:
    table = re.findall(r"^\| \[(.+?)\]\((.+?)\) \|", PAGE, re.M)
    assert len(table) == 11
    for name, where in table:
        if where.startswith("#"):
            anchors = {
                re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in SECTIONS
            }
            assert where[1:] in anchors
        else:
            example = (ROOT / "docs/how-to" / where).resolve().parent.name
            tests = "".join(p.read_text() for p in (ROOT / "tests/examples").glob("test_*.py"))
            assert example in tests, name
    assert set(ROWS) | {"Slack and Discord"} == set(SECTIONS)


@pytest.mark.parametrize("library", ["discord.py", "slack_bolt"])
async def test_what_the_page_shows_of_others_runs_too(library: str, tmp_path: Path) -> None:
    """Unmodified, in the environment of the peers: the code beside ours is no straw man."""
    script = Path(__file__).with_name("theirs.py")
    code = tmp_path / "bot.py"
    code.write_text(block("Slack and Discord", f"python {re.escape(library)}"))
    if library == "discord.py":
        async with DiscordGateway() as discord:
            ports = (str(discord.http_port), str(discord.ws_port))
            async with running(script, library, str(code), *ports, discord.api.token):
                await discord.ready()
                discord.message("hi")
                await discord.answered(1)
                assert discord.api.said == ["You said: hi"]
        return
    async with SlackGateway() as slack:
        tokens = (slack.bot_token, slack.app_token)
        async with running(script, library, str(code), slack.api_url, *tokens):
            await slack.connected()
            slack.send_event({"type": "app_mention", "channel": "C1", "text": "hi"})
            await slack.until(lambda: slack.api.of("chat.postMessage"))
            [post] = slack.api.of("chat.postMessage")
            assert post.values["text"] == "You said: hi"

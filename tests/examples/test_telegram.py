"""examples/telegram-bot through the whole host, against a bot API with real sockets.

The API is held to Telegram's behaviour by a client made by others: tests/telegram/test_gateway.py.
"""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from tests.canary import Canaries
from tests.examples.test_slack import Nobody
from tests.runtime.heard import Heard
from tests.runtime.hosts import watching_host
from tests.telegram.gateway import TelegramGateway

from yoi.packages import EnabledEntry, Store, add_to_store, read_package
from yoi.packages.edits import write_enablement
from yoi.permissions import review
from yoi.runtime.workspace import operator_file
from yoi.secrets import Settings, open_store
from yoi.types import InstanceName

EXAMPLE = Path(__file__).parents[2] / "examples/telegram-bot"
OTHER = "110201543:BBHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


@dataclass
class Bot:
    """One workspace with the example enabled, its address set to the gateway's."""

    folder: Path
    telegram: TelegramGateway
    diagnostics: Heard = field(default_factory=Heard)

    def keep(self, token: str) -> None:
        """`yoi secret set telegram-bot`."""
        (self.folder / ".yoi").mkdir(exist_ok=True)
        open_store(self.folder, Settings.load(self.folder), Nobody()).set("telegram-bot", token)

    def install(self) -> None:
        source = self.folder / "source"
        source.mkdir()
        for path in EXAMPLE.glob("*.py"):
            (source / path.name).write_bytes(path.read_bytes())
        theirs = 'scheme = "https"\nhost = "api.telegram.org"'
        ours = f'scheme = "http"\nhost = "127.0.0.1"\nport = {self.telegram.port}'
        manifest = (EXAMPLE / "plugin.toml").read_text()
        assert theirs in manifest
        (source / "plugin.toml").write_text(manifest.replace(theirs, ours))
        add_to_store(source, Store.project(self.folder))
        package = read_package(next(Store.project(self.folder).path.iterdir()), "project")
        write_enablement(
            operator_file(self.folder),
            EnabledEntry(
                reference="project:telegram-bot",
                name=InstanceName("telegram"),
                version=package.manifest.version,
                digest=package.digest,
                granted=package.manifest.requested.granting({"bot": "telegram-bot"}),
            ),
        )

    def runtime(self):
        return watching_host(self.folder, self.diagnostics.append)

    def said(self, words: str) -> bool:
        return any(words in entry.message for entry in self.diagnostics)


@pytest.fixture
async def telegram():
    async with TelegramGateway() as gateway:
        yield gateway


@pytest.fixture
def bot(tmp_path, telegram, compiled_runner, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "workspace").mkdir()
    made = Bot(tmp_path / "workspace", telegram)
    made.keep(telegram.token)
    made.install()
    yield made
    for entry in made.diagnostics:  # shown by pytest where a test fails
        print(entry.code, entry.message)


async def test_from_nothing_to_an_answer_over_limits_restarts_and_a_revoked_token(bot, telegram):
    """N11, W9: what is said meanwhile is answered once; nothing shows the token."""
    canaries = Canaries()
    canaries.mark("bot", telegram.token)
    canaries.mark("other", OTHER)
    telegram.says("before")
    async with bot.runtime():
        await telegram.until(lambda: telegram.sent())
        telegram.fail_next("sendMessage", 429, retry_after=1)
        telegram.says("limited")
        await telegram.until(lambda: len(telegram.sent()) == 2)
    telegram.says("while it was down")
    async with bot.runtime() as runtime:
        await telegram.until(lambda: len(telegram.sent()) == 3)
        telegram.token = OTHER  # @BotFather: /revoke
        telegram.says("with another token")
        await bot.diagnostics.until(lambda: bot.said("yoi secret set telegram-bot"))
        assert telegram.strangers
        bot.keep(OTHER)
        await runtime.reload()
        service = runtime.services["telegram"]
        traces = canaries.grep_everything(
            status=msgspec.json.encode(service.status()),
            diagnostics=[msgspec.to_builtins(entry) for entry in bot.diagnostics],
            reprs=[repr(service), repr(service.spec)],
            files=bot.folder,
        )
    async with bot.runtime():
        await telegram.until(lambda: len(telegram.sent()) == 4)
    texts = ["before", "limited", "while it was down", "with another token"]
    assert telegram.sent() == [f"You said: {text}" for text in texts]
    assert traces == []


async def test_kill_9_loses_no_message_and_answers_none_twice(bot, telegram):
    """What a crash left open is not sent again: it is counted, and a person is told."""
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "yoi", "serve", "--trust-workspace", cwd=bot.folder,
        env={**os.environ, "YOI_LOG": "error"}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        telegram.says("one")
        # The question after the one that brought it: its answer is written, sent or about to be.
        await telegram.until(lambda: any(telegram.offsets))
    finally:
        host.send_signal(signal.SIGKILL)
        await host.wait()
    telegram.says("two")
    async with bot.runtime() as runtime:
        await telegram.until(lambda: "You said: two" in telegram.sent())
        status = runtime.services["telegram"].status().plugin_status
    answered = telegram.sent()
    assert len(set(answered)) == len(answered)
    assert "You said: one" in answered or status["data"]["unknown"] == 1


def test_the_review_says_where_the_token_goes():
    asked = read_package(EXAMPLE).manifest.requested
    shown = str(review(asked, asked.granting({"bot": "telegram-bot"})))
    assert "/path/0" in shown

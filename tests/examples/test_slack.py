"""examples/slack-socket-mode through the whole host, against a gateway with real sockets.

The gateway is held to Slack's behaviour by Slack's own client: tests/slack/test_gateway.py.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.canary import Canaries
from tests.examples.installed import EXAMPLES, Installed
from tests.runtime.hosts import quiet_host
from tests.slack.gateway import SlackGateway

from yoi.host import Host


class Chat(Installed[SlackGateway]):
    """The example, its addresses set to the gateway's."""

    example, instance = "slack-socket-mode", "slack"

    def addresses(self) -> tuple[tuple[str, str], ...]:
        http, ws = self.gateway.http_port, self.gateway.ws_port
        return (
            (
                'scheme = "wss", host = "*.slack.com"',
                f'scheme = "ws", host = "127.0.0.1", port = {ws}',
            ),
            (
                'scheme = "https"\nhost = "slack.com"',
                f'scheme = "http"\nhost = "127.0.0.1"\nport = {http}',
            ),
            (
                'scheme = "https"\nhost = "hooks.slack.com"',
                f'scheme = "http"\nhost = "127.0.0.1"\nport = {http}',
            ),
            ("overlap_ms = 10000", "overlap_ms = 1000"),  # a test does not wait ten seconds
        )

    def runtime(self) -> Host:
        return quiet_host(self.folder, self.diagnostics.append)


SECRETS = {"app": "slack-app", "bot": "slack-bot"}


@pytest.fixture
async def slack() -> AsyncIterator[SlackGateway]:
    async with SlackGateway() as gateway:
        yield gateway


@pytest.fixture
def host(prepared: Any, slack: SlackGateway) -> Chat:
    made: Chat = prepared(Chat, slack)
    made.keep("slack-app", slack.app_token)
    made.keep("slack-bot", slack.bot_token)
    return made


def posts(slack: SlackGateway) -> list[str]:
    return [call.values["text"] for call in slack.api.of("chat.postMessage")]


def mention(text: str) -> dict[str, Any]:
    return {"type": "app_mention", "channel": "C1", "user": "U2", "ts": "1.5", "text": text}


def test_the_host_has_not_one_line_about_a_vendor():
    """W10: what a vendor does is said in plugins; the gateways to test them are in tests/."""
    source = EXAMPLES.parent / "src/yoi"
    # A list of packages that cannot be imported in the sandbox, of whomever they are.
    names = {source / "packages" / "guest_library.py"}
    files = [path for path in source.rglob("*.py") if path not in names]
    assert len(files) > 100
    words = ("slack", "discord", "home_assistant", "homeassistant", "home assistant")
    assert not [p for p in files if any(w in p.read_text("utf-8").lower() for w in words)]


async def test_a_mention_is_acknowledged_on_its_socket_and_answered_with_the_bot_token(host, slack):
    """W9, W10: from nothing to an answer; the plugin saw no token, address or socket."""
    host.enable(host.install().granting(SECRETS), prefix="> ")
    async with host.runtime():
        await slack.connected()
        delivery = slack.send_event(mention("<@U0001BOT> hi {{token}} ${app} <!channel>"))
        await delivery.acknowledged()
        await slack.until(lambda: posts(slack))
        command = slack.send_slash("/yoi", "help")
        assert "say <text>" in (await command.acknowledged())["text"]
        await slack.send_slash("/yoi", "say hello").acknowledged()
        await slack.until(lambda: any(c.method.startswith("/commands/") for c in slack.api.calls))
        await host.diagnostics.until(lambda: host.said("connected to Slack as yoi in Example"))
    assert posts(slack) == ["> hi {{token}} ${app} &lt;!channel&gt;"]
    [opened] = slack.api.of("apps.connections.open")
    assert opened.token == slack.app_token
    assert {c.token for c in slack.api.of("chat.postMessage")} == {slack.bot_token}
    [response] = [c for c in slack.api.calls if c.method.startswith("/commands/")]
    assert (response.token, response.values["text"]) == (None, "> hello")
    assert not slack.misplaced
    assert not slack.refused


async def test_a_refresh_opens_the_next_socket_before_the_last_one_closes(host, slack):
    """W10: the two overlap, and each envelope is acknowledged where it came from."""
    host.enable(host.install().granting(SECRETS))
    async with host.runtime():
        first = await slack.connected()
        await slack.send_event(mention("one")).acknowledged()
        first.disconnect("refresh_requested")
        # One that is on its way on the old socket while the new one is dialled.
        late = slack.send_event(mention("two"))
        second = await slack.connected(2)
        await late.acknowledged()
        assert late.attempts[-1][1] == 1
        third = slack.send_event(mention("three"))
        await third.acknowledged()
        assert third.attempts == [(third.attempts[0][0], 2)]
        await first.closed()
        assert slack.connections == [second]
        await slack.until(lambda: len(posts(slack)) == 3)
    assert posts(slack) == ["You said: one", "You said: two", "You said: three"]
    assert not slack.misplaced
    assert not slack.refused


@pytest.mark.parametrize("how", ["kill", "close"])
async def test_a_lost_socket_is_replaced_with_a_new_address(host, slack, how):
    """W1, W10: no spent address is ever dialled again."""
    host.enable(host.install().granting(SECRETS))
    async with host.runtime():
        first = await slack.connected()
        await slack.send_event(mention("one")).acknowledged()
        if how == "kill":
            first.kill()
        else:
            await first.close(1000, "bye")
        await slack.connected(2)
        await slack.send_event(mention("two")).acknowledged()
        await slack.until(lambda: len(posts(slack)) == 2)
    assert not slack.refused
    assert len(slack.api.of("apps.connections.open")) == 2


async def test_a_retried_event_is_answered_once(host, slack):
    host.enable(host.install().granting(SECRETS))
    async with host.runtime():
        await slack.connected()
        for _ in range(2):
            await slack.send_event(mention("once"), event_id="Ev1").acknowledged()
        await slack.send_event(mention("after")).acknowledged()
        await slack.until(lambda: len(posts(slack)) == 2)
    assert posts(slack) == ["You said: once", "You said: after"]


async def test_a_revoked_token_opens_nothing_and_says_what_to_do(host, slack):
    slack.api.revoke(slack.app_token)
    host.enable(host.install().granting(SECRETS))
    async with host.runtime():
        await host.diagnostics.until(lambda: host.said("yoi secret set slack-app"))
    assert slack.opened == 0
    assert len(slack.api.calls) == 1


@pytest.mark.parametrize("missing", ["ungranted", "unset"])
async def test_without_its_secret_nothing_leaves_the_host(host, slack, missing):
    """P4, W9: a secret that was not granted, or is not in the store."""
    requested = host.install()
    if missing == "unset":
        host.lose("slack-app")
        host.enable(requested.granting(SECRETS))
    else:
        host.enable(requested.granting({}))
    async with host.runtime():
        code = "secret.missing" if missing == "unset" else "denied.not_granted"
        await host.diagnostics.until(lambda: code in host.diagnostics.codes)
        await host.diagnostics.until(lambda: host.said("not connected"))
    assert not slack.api.calls
    assert slack.opened == 0


async def test_no_token_ticket_or_address_is_seen_anywhere(host, slack):
    """W9: marked secrets go through a whole session; every screen and journal is searched."""
    canaries = Canaries()
    canaries.mark("app", slack.app_token)
    canaries.mark("bot", slack.bot_token)
    host.enable(host.install().granting(SECRETS))
    async with host.runtime() as runtime:
        first = await slack.connected()
        await slack.send_event(mention("hi")).acknowledged()
        slack.api.fail_next("chat.postMessage", "ratelimited", retry_after_s=1)
        await slack.send_event(mention("limited")).acknowledged()
        first.disconnect("warning")
        second = await slack.connected(2)
        second.kill()
        await slack.connected(3)
        await slack.send_event(mention("bye")).acknowledged()
        for number, ticket in enumerate(slack.tickets):
            canaries.mark(f"ticket {number}", ticket)
        service = runtime.services["slack"]
        traces = canaries.grep_everything(
            status=msgspec.json.encode(service.status()),
            diagnostics=[msgspec.to_builtins(entry) for entry in host.diagnostics],
            reprs=[repr(service), repr(service.spec)],
            files=host.folder,
        )
    assert len(slack.tickets) == 3
    assert traces == []

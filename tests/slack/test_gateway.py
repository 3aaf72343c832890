"""The gateway is held honest by Slack's own client, unmodified, in a process of its own."""

import asyncio
import contextlib
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from tests.peers import Peer, running
from tests.slack.gateway import MAX_CONNECTIONS, SlackGateway
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

SCRIPT = Path(__file__).with_name("their_client.py")


@contextlib.asynccontextmanager
async def their_client(slack: SlackGateway, *authority: Path) -> AsyncIterator[Peer]:
    where = (slack.api_url, slack.app_token, slack.bot_token, *map(str, authority))
    async with running(SCRIPT, *where) as peer:
        yield peer


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_slacks_own_client_connects_hears_and_acknowledges(
    secure: bool, tmp_path: Path
) -> None:
    server_tls, trusted = None, []
    if secure:
        authority = trustme.CA()
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(server_tls)
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        trusted = [tmp_path / "authority.pem"]
    async with SlackGateway(tls=server_tls) as slack, their_client(slack, *trusted) as them:
        assert await them.ask("connect") == {"ok": True}
        connection = await slack.connected()
        mention = slack.send_event({"type": "app_mention", "channel": "C1", "text": "hi"})
        assert await mention.acknowledged() is None
        assert await slack.send_slash("/yoi", "help").acknowledged() == {"text": "done"}
        assert await slack.send_interactive({"actions": []}).acknowledged() == {"text": "done"}
        await connection.ping()
        assert (await them.ask("chat_postMessage", channel="C1", text="hello"))["ok"]
        assert (await them.ask("auth_test"))["user_id"] == "U0001BOT"
        assert [request["type"] for request in them.heard] == [
            "events_api",
            "slash_commands",
            "interactive",
        ]
        assert them.heard[0]["payload"]["event"]["text"] == "hi"
        assert them.heard[0]["retry_attempt"] == 0
        [call] = slack.api.of("chat.postMessage")
        assert call.values["text"] == "hello"
        assert not slack.misplaced


@pytest.mark.parametrize("how", ["warning", "refresh_requested", "close", "kill"])
async def test_slacks_own_client_survives_the_end_of_its_socket(how: str) -> None:
    async with SlackGateway() as slack, their_client(slack) as them:
        await them.ask("connect")
        first = await slack.connected()
        if how == "close":
            await first.close(1000, "bye")
        elif how == "kill":
            first.kill()
        else:
            first.disconnect(how)
        second = await slack.connected(2)
        assert await slack.send_event({"type": "message"}).acknowledged() is None
        assert [one.number for one in slack.connections] == [second.number]
        assert len(slack.api.of("apps.connections.open")) == 2


async def test_an_unacknowledged_envelope_comes_again_also_on_the_next_socket() -> None:
    async with SlackGateway(ack_seconds=0.01) as slack:
        async with dial(slack) as first:
            await first.recv()
            delivery = slack.send_event({"type": "message"})
            await slack.until(lambda: len(delivery.attempts) == 2)
        async with dial(slack) as second:
            await slack.until(lambda: len(delivery.attempts) >= 3)
            assert delivery.attempts[-1][1] == 2
            assert "hello" in str(await second.recv())
            assert '"retry_attempt": 2' in str(await second.recv())
            assert not delivery.done


async def test_an_acknowledgement_counts_only_on_the_socket_that_asked() -> None:
    async with SlackGateway() as slack, dial(slack) as first, dial(slack) as second:
        await slack.connected(2)
        delivery = slack.send_event({"type": "message"})
        [(envelope_id, number)] = delivery.attempts
        assert number == 2
        await first.send(f'{{"envelope_id": "{envelope_id}"}}')
        await slack.until(lambda: slack.misplaced)
        assert not delivery.done
        await second.send(f'{{"envelope_id": "{envelope_id}"}}')
        await delivery.acknowledged()


async def test_a_ticket_is_good_once() -> None:
    async with SlackGateway() as slack:
        url = await new_url(slack)
        async with connect(url):
            pass
        for wrong in (url, url + "x"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(wrong)
            assert refused.value.response.status_code == 408
        assert len(slack.refused) == 2


async def test_an_eleventh_connection_is_turned_away() -> None:
    async with SlackGateway() as slack, contextlib.AsyncExitStack() as open_ones:
        for _ in range(MAX_CONNECTIONS):
            await open_ones.enter_async_context(dial(slack))
        await slack.connected(MAX_CONNECTIONS)
        async with dial(slack) as eleventh:
            assert "too_many_websockets" in str(await eleventh.recv())
            with pytest.raises(ConnectionClosedOK):
                await eleventh.recv()
        assert len(slack.connections) == MAX_CONNECTIONS


async def test_tokens_are_told_apart_and_can_be_revoked() -> None:
    async with SlackGateway() as slack, their_client(slack) as them:

        async def refusal(token: str) -> str:
            return str((await them.ask("apps_connections_open", app_token=token))["error"])

        assert await refusal(slack.bot_token) == "not_allowed_token_type"
        assert await refusal("xapp-other") == "invalid_auth"
        slack.api.revoke(slack.app_token)
        assert await refusal(slack.app_token) == "invalid_auth"
        slack.api.restore(slack.app_token)
        slack.api.fail_next("apps.connections.open", "ratelimited", retry_after_s=30)
        limited = await them.ask("apps_connections_open", app_token=slack.app_token)
        assert (limited["status"], limited["retry_after"]) == (429, "30")
        assert (await them.ask("apps_connections_open", app_token=slack.app_token))["ok"]


async def test_posts_are_checked_and_response_urls_recorded() -> None:
    async with SlackGateway() as slack:
        own = slack.bot_token

        async def error(method: str, token: str | None, **body: str) -> object:
            return json.loads(await post(slack.api_url + method, token, body))["error"]

        assert await error("chat.postMessage", None, channel="C", text="x") == "not_authed"
        assert await error("chat.postMessage", own, channel="C") == "no_text"
        assert await error("chat.postMessage", own, text="x") == "channel_not_found"
        assert await error("users.list", own) == "unknown_method"
        assert await post(slack.response_url(), None, {"text": "late"}) == "ok"
        assert slack.api.calls[-1].values == {"text": "late"}


@contextlib.asynccontextmanager
async def dial(slack: SlackGateway) -> AsyncIterator[object]:
    async with connect(await new_url(slack)) as socket:
        yield socket


async def new_url(slack: SlackGateway) -> str:
    answer = await post(slack.api_url + "apps.connections.open", slack.app_token, {})
    return str(json.loads(answer)["url"])


async def post(url: str, token: str | None, body: dict[str, str]) -> str:
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)

    def send() -> str:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(send)

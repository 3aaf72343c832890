"""The gateway is held honest by Slack's own client, unmodified (issue 3, point 8)."""

import contextlib
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

from yoi.testing.slack_gateway import MAX_CONNECTIONS, SlackGateway


@contextlib.asynccontextmanager
async def their_client(
    slack: SlackGateway, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[SocketModeClient, list[SocketModeRequest]]]:
    heard: list[SocketModeRequest] = []
    web = AsyncWebClient(slack.bot_token, base_url=slack.api_url, ssl=tls)
    client = SocketModeClient(slack.app_token, web_client=web, ping_interval=0.2)

    async def answer(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        heard.append(request)
        payload = {"text": "done"} if request.accepts_response_payload else None
        await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, payload))

    client.socket_mode_request_listeners.append(answer)  # type: ignore[arg-type]
    try:
        yield client, heard
    finally:
        await client.close()
        await client.aiohttp_client_session.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_slacks_own_client_connects_hears_and_acknowledges(secure: bool) -> None:
    server_tls = client_tls = None
    if secure:
        authority = trustme.CA()
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(server_tls)
        client_tls = ssl.create_default_context()
        authority.configure_trust(client_tls)
    async with SlackGateway(tls=server_tls) as slack, their_client(slack, client_tls) as them:
        client, heard = them
        await client.connect()
        connection = await slack.connected()
        mention = slack.send_event({"type": "app_mention", "channel": "C1", "text": "hi"})
        assert await mention.acknowledged() is None
        assert await slack.send_slash("/yoi", "help").acknowledged() == {"text": "done"}
        assert await slack.send_interactive({"actions": []}).acknowledged() == {"text": "done"}
        await connection.ping()
        posted = await client.web_client.chat_postMessage(channel="C1", text="hello")
        assert posted["ok"]
        assert (await client.web_client.auth_test())["user_id"] == "U0001BOT"
        assert [request.type for request in heard] == [
            "events_api",
            "slash_commands",
            "interactive",
        ]
        assert heard[0].payload["event"]["text"] == "hi"
        assert heard[0].retry_attempt == 0
        [call] = slack.api.of("chat.postMessage")
        assert call.values["text"] == "hello"
        assert not slack.misplaced


@pytest.mark.parametrize("how", ["warning", "refresh_requested", "close", "kill"])
async def test_slacks_own_client_survives_the_end_of_its_socket(how: str) -> None:
    async with SlackGateway() as slack, their_client(slack) as (client, _):
        await client.connect()
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
    async with SlackGateway() as slack:
        web = AsyncWebClient(base_url=slack.api_url)

        async def refusal(token: str | None) -> str:
            with pytest.raises(SlackApiError) as refused:
                await web.apps_connections_open(app_token=token or "")
            return str(refused.value.response["error"])

        assert await refusal(slack.bot_token) == "not_allowed_token_type"
        assert await refusal("xapp-other") == "invalid_auth"
        slack.api.revoke(slack.app_token)
        assert await refusal(slack.app_token) == "invalid_auth"
        slack.api.restore(slack.app_token)
        slack.api.fail_next("apps.connections.open", "ratelimited", retry_after_s=30)
        with pytest.raises(SlackApiError) as limited:
            await web.apps_connections_open(app_token=slack.app_token)
        assert limited.value.response.status_code == 429
        assert limited.value.response.headers["Retry-After"] == "30"
        assert (await web.apps_connections_open(app_token=slack.app_token))["ok"]


async def test_posts_are_checked_and_response_urls_recorded() -> None:
    async with SlackGateway() as slack, aiohttp.ClientSession() as session:
        bearer = {"Authorization": f"Bearer {slack.bot_token}"}

        async def post(method: str, headers: dict[str, str], **body: str) -> object:
            url = slack.api_url + method
            async with session.post(url, headers=headers, json=body) as answer:
                return (await answer.json())["error"]

        assert await post("chat.postMessage", {}, channel="C", text="x") == "not_authed"
        assert await post("chat.postMessage", bearer, channel="C") == "no_text"
        assert await post("chat.postMessage", bearer, text="x") == "channel_not_found"
        assert await post("users.list", bearer) == "unknown_method"
        url = slack.response_url()
        async with session.post(url, json={"text": "late"}) as answer:
            assert await answer.text() == "ok"
        assert slack.api.calls[-1].values == {"text": "late"}


@contextlib.asynccontextmanager
async def dial(slack: SlackGateway) -> AsyncIterator[object]:
    async with connect(await new_url(slack)) as socket:
        yield socket


async def new_url(slack: SlackGateway) -> str:
    web = AsyncWebClient(base_url=slack.api_url)
    return str((await web.apps_connections_open(app_token=slack.app_token))["url"])

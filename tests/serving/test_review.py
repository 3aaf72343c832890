"""Who is let in is judged again when the tokens change, whoever notices first."""

import asyncio

import pytest
from tests.serving.streams import served

from yoi.core.observation import Framing
from yoi.limits import Limits
from yoi.protocol.observation import CloseCode
from yoi.serving.identity import AT_BACKEND, Identities
from yoi.serving.principals import Principal
from yoi.serving.review import judge, keep_reviewing
from yoi.serving.tokens import TokenStore
from yoi.serving.watcher import Watching
from yoi.types import SystemClock


class Transport:
    """Remembers how it ended."""

    def __init__(self, channel):
        self.channel = channel
        self.watcher = None
        self.ended = asyncio.get_running_loop().create_future()

    def write(self, data):
        pass

    def finish(self, code, *, abort):
        self.channel.leave(self.watcher)
        self.ended.set_result(code)


def watch(everything, who):
    channel = everything.hub.channel(everything.stream.subject)
    feed = channel.feed("", Framing.WEBSOCKET, lambda event: event)
    transport = Transport(channel)
    watching = Watching(str(who), who.expires_at_ms, who)
    transport.watcher = channel.enter(feed, watching, transport)
    transport.watcher.open(None, 0, snapshot_always=False)
    return transport


@pytest.mark.parametrize("first", ["the reviewer", "somebody who comes in"])
async def test_a_revoked_token_ends_its_streams(tmp_path, first):
    path = tmp_path / "tokens.toml"
    tokens = TokenStore(path)
    good, bad = (tokens.create(name)[1].reveal() for name in ("good", "bad"))
    identities = Identities(tokens, SystemClock(), AT_BACKEND)
    async with served() as everything:
        stays = watch(everything, identities.identify(good))
        goes = watch(everything, identities.identify(bad))
        limits = Limits(tokens_review_ms=1)
        judged = judge(identities, Principal.observes)
        reviewing = asyncio.create_task(keep_reviewing(everything.hub, identities, judged, limits))
        await asyncio.sleep(0)  # it has begun
        TokenStore(path).revoke("bad")
        if first == "somebody who comes in":
            assert identities.identify(bad) is None
        async with asyncio.timeout(10):
            assert await goes.ended is CloseCode.SESSION_EXPIRED
        assert not stays.ended.done()
        reviewing.cancel()

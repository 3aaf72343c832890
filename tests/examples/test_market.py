"""examples/market-feed through the whole host, against an exchange with real sockets.

The exchange is held to Binance's behaviour by their own client: tests/exchange/test_gateway.py.
"""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.canary import Canaries
from tests.examples.installed import EXAMPLES, Installed
from tests.exchange.gateway import Exchange

from yoi.host import Host
from yoi.packages import read_package
from yoi.permissions import review

READ = {"key-id": "read-id", "account": "read-key"}
TRADE = {"trade-id": "trade-id", "trade": "trade-key"}
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1", "price": "99.5"}


class Bot(Installed[Exchange]):
    """The example, its addresses set to the exchange's."""

    example, instance = "market-feed", "market"

    def addresses(self) -> tuple[tuple[str, str], ...]:
        http, ws = self.gateway.http_port, self.gateway.ws_port
        return (
            ("wss://stream.binance.com", f"ws://127.0.0.1:{ws}"),
            ("wss://ws-api.binance.com", f"ws://127.0.0.1:{ws}"),
            (
                'scheme = "https"\nhost = "api.binance.com"',
                f'scheme = "http"\nhost = "127.0.0.1"\nport = {http}',
            ),
        )

    async def signed_in(self, times: int = 1) -> None:
        """Wait until the plugin has heard `times` times that it is signed in."""
        await self.diagnostics.until(
            lambda: sum(entry.message == "signed in" for entry in self.diagnostics) >= times
        )


async def asked(runtime: Host, tool: str, **values: str) -> dict:
    answer = await runtime.services["market"].call_tool(tool, values)
    content = answer["content"] if isinstance(answer, dict) else answer.content
    return json.loads(content) if isinstance(content, str) else content


async def price(runtime: Host, bid: str) -> dict:
    """Return the best prices as soon as the best bid is `bid`."""
    async with asyncio.timeout(30):
        while True:
            found = await asked(runtime, "best_price", symbol="BTCUSDT")
            if found.get("bid") == bid:
                return found
            await asyncio.sleep(0.02)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with Exchange() as made:
        yield made


@pytest.fixture
def bot(prepared: Any, exchange: Exchange) -> Bot:
    made: Bot = prepared(Bot, exchange)
    made.keep("read-id", exchange.key_id)
    made.keep("read-key", exchange.pem)
    made.keep("trade-id", exchange.trade_id)
    made.keep("trade-key", exchange.trade_key)
    return made


async def test_it_signs_in_reads_trades_and_nothing_shows_a_key(bot, exchange):
    """K3, N6: the exchange checks each signature; no log, status, file or event has a key."""
    canaries = Canaries()
    body = "".join(exchange.pem.split("\n")[1:-2])
    canaries.mark("account", body)
    canaries.mark("account", base64.b64decode(body)[-32:].hex())
    canaries.mark("trade", exchange.trade_key)
    bot.enable(bot.install().granting({**READ, **TRADE}))
    async with bot.runtime() as runtime:
        await bot.signed_in()
        assert (await asked(runtime, "balance"))["balances"][0]["asset"] == "BTC"
        placed = await asked(runtime, "limit_order", **ORDER)
        assert placed["status"] == "NEW"
        service = runtime.services["market"]
        traces = canaries.grep_everything(
            status=msgspec.json.encode(service.status()),
            diagnostics=[msgspec.to_builtins(entry) for entry in bot.diagnostics],
            reprs=[repr(service), repr(service.spec), repr(service.spec.authority.granted)],
            files=bot.folder,
            account=bot.folder.parent / "state",
        )
    assert traces == []
    [order] = exchange.orders
    assert (order["quantity"], order["price"]) == ("0.1", "99.5")


async def test_without_the_trading_key_nothing_is_ordered(bot, exchange):
    bot.enable(bot.install().granting(READ))
    async with bot.runtime() as runtime:
        await bot.signed_in()
        with pytest.raises(Exception, match="denied"):
            await asked(runtime, "limit_order", **ORDER)
        assert (await asked(runtime, "balance"))["balances"]
    assert exchange.orders == []
    assert not [one for one in exchange.asked if one.path == "/api/v3/order"]


def test_the_review_shows_reading_and_trading_side_by_side(bot):
    requested = read_package(EXAMPLES / Bot.example).manifest.requested
    rows = [row for row in review(requested, requested.granting(READ)).rows if row.kind == "secret"]
    said = {row.label.split()[0]: row for row in rows}
    assert said["account"].explanation == (
        "it may have messages of the connection account signed with your key read-key, which it "
        'never sees: ed25519 over "apiKey=", your secret for key-id, "&timestamp=", timestamp '
        "(ms); the signature goes into /params/signature; the plugin chooses nothing of it"
    )
    assert said["trade"].state.value == "denied"
    assert said["trade"].explanation.startswith(
        "it asks to have POST requests to api.binance.com/api/v3/order signed with a key of yours"
    )
    assert "the plugin chooses the query" in said["trade"].explanation


async def test_the_book_is_whole_over_gaps_lost_sockets_and_a_busy_exchange(bot, exchange):
    bot.enable(bot.install().granting(READ))
    async with bot.runtime() as runtime:
        await exchange.followed()
        await exchange.trade(bids={"100.25": "1"})
        await price(runtime, "100.25")
        # A change that never came: the host finds the hole in the numbers.
        exchange.stale = exchange.busy = 1
        await exchange.trade(bids={"100.50": "1"}, lost=True)
        await exchange.trade(bids={"100.10": "1"})
        await price(runtime, "100.50")
        [stream] = [
            one for one in runtime.services["market"].status().connections if one.name == "stream"
        ]
        assert stream.sequence_gaps == 1
        # A socket that is lost: what changed meanwhile is in the next snapshot.
        exchange.on("/ws")[-1].kill()
        await exchange.trade(bids={"100.75": "1"})
        await exchange.followed(1)
        await price(runtime, "100.75")
        await exchange.trade(bids={"100.75": "0"})
        await price(runtime, "100.50")


async def test_a_revoked_key_ends_the_account_and_a_new_one_begins_it(bot, exchange):
    bot.enable(bot.install().granting(READ))
    async with bot.runtime() as runtime:
        await bot.signed_in()
        exchange.revoked.add(exchange.key_id)
        exchange.on("/ws-api/v3")[-1].kill()
        await bot.diagnostics.until(
            lambda: any("refused the key" in entry.message for entry in bot.diagnostics)
        )
        assert "Invalid API-key" in (await asked(runtime, "balance"))["error"]
        exchange.key_id = "N" * 64
        before = len(exchange.on("/ws-api/v3"))
        bot.keep("read-id", exchange.key_id)
        await exchange.until(lambda: len(exchange.on("/ws-api/v3")) > before)
        await exchange.until(lambda: exchange.on("/ws-api/v3")[-1].account == exchange.key_id)
        # The feed went on all the while.
        assert len(exchange.on("/ws")) == 1


async def test_kill_9_leaves_a_whole_book_and_no_order_twice(bot, exchange):
    bot.enable(bot.install().granting({**READ, **TRADE}))
    for number in range(2):
        host = await bot.serve()
        try:
            await exchange.signed_in(number + 1)
        finally:
            host.send_signal(signal.SIGKILL)
            await host.wait()
        await exchange.trade(bids={f"100.{number + 1}": "1"})
    async with bot.runtime() as runtime:
        await bot.signed_in()
        await price(runtime, "100.2")
        await asked(runtime, "limit_order", **ORDER)
    assert len(exchange.orders) == 1

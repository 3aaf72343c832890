"""The exchange is held honest by Binance's own client, unmodified, in a process of its own."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from tests.exchange.gateway import Exchange
from tests.peers import Peer, running
from tests.runtime.test_signer import Bench, header, signing

SCRIPT = Path(__file__).with_name("their_client.py")


@contextlib.asynccontextmanager
async def their_client(exchange: Exchange) -> AsyncIterator[Peer]:
    keys = (exchange.key_id, exchange.trade_id, exchange.trade_key)
    async with running(SCRIPT, str(exchange.http_port), str(exchange.ws_port), *keys) as peer:
        yield peer


async def test_their_client_signs_in_and_reads_the_account() -> None:
    async with Exchange() as exchange, their_client(exchange) as them:
        said = await them.ask("logon", key=exchange.pem)
        assert said["account"]["result"]["balances"][0]["asset"] == "BTC"
        exchange.revoked.add(exchange.key_id)
        said = await them.ask("logon", key=exchange.pem)
        assert "Invalid API-key" in str(said)


async def test_their_client_follows_a_book_from_a_snapshot() -> None:
    async with Exchange() as exchange, their_client(exchange) as them:
        assert await them.ask("follow", symbol="btcusdt") == {"ok": True}
        await exchange.followed()
        await exchange.trade(bids={"100.5": "2"})
        await them.until(lambda heard: heard)
        snapshot = await them.ask("depth", symbol="BTCUSDT")
        assert snapshot["lastUpdateId"] == them.heard[0]["u"] == 101


async def test_their_order_and_ours_are_the_same_bytes() -> None:
    """N6: one unmodified client and our host write the same for the same request."""
    async with Exchange() as exchange, their_client(exchange) as them:
        order = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "time_in_force": "GTC",
            "quantity": 0.1,
            "price": 100.5,
        }
        said = await them.ask("order", **order)
        assert said.get("orderId") == 1, said
        [asked] = exchange.asked
        query = dict(parse_qsl(urlsplit(asked.target).query))
        signature, moment = query.pop("signature"), query.pop("timestamp")
        bench = Bench(
            signing(
                "trade",
                "/query/signature",
                algorithm="hmac-sha256",
                key="utf8",
                of="request",
                methods=["POST"],
                parts=[{"sent": "query"}],
                puts=[{"at": "/query/timestamp", "parts": [{"timestamp": "ms"}]}],
            ),
            {"name": "id", "request": "api", "at": ["/headers/x-mbx-apikey"]},
            now_ms=int(moment),
            trade=exchange.trade_key,
            id=exchange.trade_id,
        )
        ours = bench.prepare(
            "POST",
            "/api/v3/order",
            query=query,
            insert=[{"at": "/headers/x-mbx-apikey", "secret": "id"}],
            sign="trade",
        )
        assert ours.url.request_target == asked.target
        assert ours.url.query.endswith(f"&signature={signature}")
        assert header(ours, "x-mbx-apikey") == asked.headers["x-mbx-apikey"]

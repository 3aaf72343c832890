"""Binance's own client as a process (tests/peers.py): HTTP_PORT WS_PORT KEY_ID TRADE_ID TRADE_KEY.

Its private key comes as the value of `key`, in PEM form.
"""

import asyncio
import json
import sys
from typing import Any

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot

http_port, ws_port, key_id, trade_id, trade_key = sys.argv[1:]


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def logon(pem: str) -> dict[str, Any]:
    """Sign in and ask what the account holds."""
    client = Spot(
        config_ws_api=ConfigurationWebSocketAPI(
            api_key=key_id, private_key=pem, stream_url=f"ws://127.0.0.1:{ws_port}/ws-api/v3"
        )
    )
    connection = await client.websocket_api.create_connection()
    try:
        signed_in = (await connection.session_logon()).data()
        account = (await connection.account_status()).data()
        return {"logon": _plain(signed_in), "account": _plain(account)}
    finally:
        await connection.close_connection(close_session=True)


async def follow(symbol: str) -> dict[str, Any]:
    """Follow the changes of an order book; each is said as it comes."""
    client = Spot(
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://127.0.0.1:{ws_port}")
    )
    connection = await client.websocket_streams.create_connection()
    stream = await connection.diff_book_depth(symbol=symbol, update_speed="100ms")
    stream.on("message", lambda change: say({"heard": _plain(change)}))
    return {"ok": True}


def rest() -> Any:
    config = ConfigurationRestAPI(
        api_key=trade_id, api_secret=trade_key, base_path=f"http://127.0.0.1:{http_port}"
    )
    return Spot(config_rest_api=config).rest_api


def _plain(value: Any) -> Any:
    return value if isinstance(value, dict) else value.model_dump(by_alias=True, mode="json")


async def main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        values = asked["values"]
        try:
            match asked["do"]:
                case "logon":
                    say(await logon(values["key"]))
                case "follow":
                    say(await follow(values["symbol"]))
                case "depth":
                    answer = await asyncio.to_thread(rest().depth, values["symbol"])
                    say(_plain(answer.data()))
                case "order":
                    answer = await asyncio.to_thread(rest().new_order, **values)
                    say(_plain(answer.data()))
        except Exception as exc:
            say({"error": str(exc)})


asyncio.run(main())

"""The account: signs in on its connection, reads what it holds, places orders."""

from typing import Any

from yoi_pdk import (
    Command,
    Complete,
    Defer,
    Ready,
    Request,
    ResponseEvent,
    Send,
    Status,
    StopConnection,
    TextEvent,
    ToolCall,
    insert_counter,
    insert_secret,
)

LOGON = "logon"
ANSWER_MS = 10_000
ORDER = "order-"
_HOPELESS = (-2014, -2015, -1022, -1002)
"""Error codes after which the same key is refused again."""


class Account:
    """What is known of it; nothing of this outlives the session."""

    def __init__(self) -> None:
        self.signed_in = False
        self.refused = ""
        self._session = ""
        self._asked = 0

    def opened(self, session: str) -> list[Command]:
        """Sign in. The host adds the key's name, the time and the signature."""
        self.signed_in, self._session, self.refused = False, session, ""
        return [
            _ask(
                LOGON,
                "session.logon",
                {"apiKey": None},
                insert=[insert_secret("/params/apiKey", "key-id")],
                sign="account",
            )
        ]

    def closed(self) -> None:
        """The session is gone."""
        self.signed_in = False

    def answered(self, event: TextEvent, message: dict[str, Any]) -> list[Command]:
        """Take an answer to something that was asked."""
        question, good = event.in_reply_to, message.get("status") == 200
        if question == LOGON:
            return self._logged_on(message, good=good)
        if question is None:
            return []
        if not good:
            return [Complete(question, error=_why(message))]
        return [Complete(question, {"balances": _balances(message.get("result"))})]

    def balance(self, call: ToolCall) -> Defer | dict[str, Any]:
        """Ask what the account holds; the call waits for the answer."""
        if not self.signed_in:
            return {"error": self.refused or "the account is not signed in"}
        return Defer(call.id, ANSWER_MS, [_ask(call.id, "account.status", {})])

    def order(self, call: ToolCall) -> Defer:
        """Place an order, signed by the host; its id is the call's, so it is placed once."""
        values = call.input
        query = {
            "symbol": values["symbol"],
            "side": values["side"],
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": values["quantity"],
            "price": values["price"],
            "newClientOrderId": _client_id(call.id),
        }
        request = Request(
            "orders",
            "POST",
            "/api/v3/order",
            query=query,
            insert=[insert_secret("/headers/x-mbx-apikey", "trade-id")],
            sign="trade",
            id=call.id,
        )
        return Defer(call.id, 3 * ANSWER_MS, [request])

    def order_answered(self, event: ResponseEvent) -> list[Command]:
        """Say how an order went."""
        call, body = event.command_id, event.body if isinstance(event.body, dict) else {}
        if event.ok:
            kept = {key: body.get(key) for key in ("orderId", "status", "executedQty", "price")}
            return [Complete(call, kept)]
        unknown = event.may_have_arrived
        why = "nobody knows whether it arrived: look before trying again" if unknown else ""
        return [Complete(call, error=why or _said(event, body))]

    def status(self) -> dict[str, Any]:
        """Return what a person sees."""
        return {"signed_in": self.signed_in, **({"refused": self.refused} if self.refused else {})}

    def _logged_on(self, message: dict[str, Any], *, good: bool) -> list[Command]:
        if good:
            self.signed_in = True
            return [Ready("account"), Status("signed in")]
        self.refused = _why(message)
        if _code(message) in _HOPELESS:
            why = f"the exchange refused the key: {self.refused}"
            return [Status(why), StopConnection("account", reason=why, until="secret")]
        return []


def _ask(question: str, method: str, params: dict[str, Any], **more: Any) -> Send:
    insert = [*more.pop("insert", []), insert_counter("/id")]
    return Send(
        json={"id": None, "method": method, "params": params},
        insert=insert,
        connection="account",
        session="current",
        reply_at="/id",
        id=question,
        **more,
    )


def _client_id(call: str) -> str:
    """Return `call` as the exchange takes ids: 36 letters, digits, dashes and underlines."""
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in call)[-36:]


def _code(message: dict[str, Any]) -> Any:
    error = message.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _why(message: dict[str, Any]) -> str:
    error = message.get("error")
    said = error.get("msg") if isinstance(error, dict) else None
    return str(said or "it gave no reason")[:200]


def _said(event: ResponseEvent, body: dict[str, Any]) -> str:
    return str(body.get("msg") or event.error_message or f"status {event.status}")[:200]


def _balances(result: Any) -> list[dict[str, Any]]:
    rows = result.get("balances") if isinstance(result, dict) else None
    return [row for row in rows[:200] if isinstance(row, dict)] if isinstance(rows, list) else []

"""Order books that are proved whole, and an account whose keys nobody here ever sees."""

from typing import Any

from account import Account
from book import Book, is_change, is_snapshot

from yoi_pdk import (
    Answer,
    CloseEvent,
    Command,
    Context,
    Defer,
    DeniedEvent,
    ErrorEvent,
    Event,
    GapEvent,
    OpenEvent,
    Plugin,
    Request,
    ResponseEvent,
    Send,
    SendFailedEvent,
    StartedEvent,
    TextEvent,
    TimerEvent,
    TimerSet,
    ToolCall,
    ToolResult,
)

SNAPSHOT = "snapshot-"
AGAIN_MS = 1_000


class Market(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.books = {symbol: Book() for symbol in config.get("symbols", ["BTCUSDT"])}
        self.account = Account()
        self.asked: set[str] = set()
        """Symbols whose snapshot is on its way."""
        self.gaps = 0
        self.begun = 0

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        try:
            message = event.json()
        except ValueError:
            return None
        if not isinstance(message, dict):
            return None
        if event.connection == "account":
            return self.account.answered(event, message)
        book = self.books.get(message.get("s", "")) if is_change(message) else None
        if book is None or event.duplicate:
            return None
        return None if book.changed(message) else self._snapshot(message["s"], event)

    def on_event(self, event: Event, ctx: Context) -> Answer:
        match event:
            case StartedEvent():
                return self._started(event)
            case OpenEvent() if event.connection == "stream":
                return self._subscribed(event)
            case OpenEvent():
                return self.account.opened(event.session or "")
            case CloseEvent() if event.connection == "stream":
                return self._lost(event, again=False)
            case CloseEvent():
                return self.account.closed()
            case GapEvent():
                self.gaps += 1
                ctx.log(f"a gap ({event.why}): the books are read anew", "warning")
                return self._lost(event, again=True)
            case ResponseEvent() if event.command_id.startswith(SNAPSHOT):
                return self._begun(event, ctx)
            case ResponseEvent():
                return self.account.order_answered(event)
            case TimerEvent():
                return self._snapshot(event.name, event)
            case DeniedEvent() | SendFailedEvent():
                ctx.log(f"{event.command} was refused: {event.message}", "warning")
            case ErrorEvent():
                ctx.log(f"{event.code}: {event.message}", "warning")
        return None

    def on_tool(self, call: ToolCall, ctx: Context) -> ToolResult | Defer | dict[str, Any]:
        if call.name == "balance":
            return self.account.balance(call)
        if call.name == "limit_order":
            return self.account.order(call)
        book = self.books.get(call.input["symbol"])
        best = None if book is None else book.best()
        if best is None:
            known = "is not followed" if book is None else "is being read anew"
            return {"error": f"{call.input['symbol']} {known}"}
        return {"bid": best[0], "ask": best[1], "change": book.last if book else 0}

    def status(self) -> dict[str, Any]:
        books = {
            symbol: {"whole": book.whole, "best": book.best()}
            for symbol, book in self.books.items()
        }
        return {**self.account.status(), "books": books, "gaps": self.gaps, "snapshots": self.begun}

    def _started(self, event: StartedEvent) -> list[Command]:
        """What is open was opened before this code ran: the books are read, nothing subscribed."""
        made: list[Command] = []
        for one in event.connections:
            if one["connection"] == "stream":
                made += self._lost(event, again=True)
            elif one.get("ready"):
                self.account.signed_in = True
        return made

    def _subscribed(self, event: Event) -> list[Command]:
        streams = [f"{symbol.lower()}@depth@100ms" for symbol in self.books]
        ask = Send(
            json={"method": "SUBSCRIBE", "params": streams, "id": 1},
            connection="stream",
            session="current",
        )
        return [ask, *self._lost(event, again=True)]

    def _lost(self, event: Event, *, again: bool) -> list[Command]:
        """Forget the books; where there is a stream, read them anew."""
        made: list[Command] = []
        for symbol, book in self.books.items():
            book.lost()
            made += self._snapshot(symbol, event) if again else []
        return made

    def _snapshot(self, symbol: str, event: Event) -> list[Command]:
        if symbol in self.asked or symbol not in self.books:
            return []
        self.asked.add(symbol)
        return [
            Request(
                "depth",
                "GET",
                "/api/v3/depth",
                query={"symbol": symbol, "limit": "1000"},
                id=f"{SNAPSHOT}{symbol}-{event.id}"[:128],
            )
        ]

    def _begun(self, event: ResponseEvent, ctx: Context) -> list[Command]:
        symbol = event.command_id.removeprefix(SNAPSHOT).partition("-")[0]
        self.asked.discard(symbol)
        book = self.books[symbol]
        if event.ok and is_snapshot(event.body) and book.begun(event.body):
            self.begun += 1
            return []
        # Older than the changes that wait, or not to be had now: a moment later it is another one.
        wait = max(AGAIN_MS, event.retry_after_ms or 0)
        ctx.log(f"no snapshot of {symbol} yet: status {event.status}", "info")
        return [TimerSet(symbol, wait)]

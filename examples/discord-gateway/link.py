"""The way from one session to the next: ask, dial, resume or identify, and when not to.

    started, lost --session known--> dialling --HELLO--> RESUME --RESUMED--> ready
    started, lost --none--> asking --address--> dialling --HELLO--> IDENTIFY --READY--> ready

What must outlive a restart is in the plugin's state, written together with the event that changed
it: the session, the last sequence number that was *handled*, and how many IDENTIFYs are left of the
day. The host keeps the heartbeat and paces the dials.
"""

from dataclasses import dataclass
from random import random
from typing import Any

from yoi_pdk import (
    Autoreply,
    Close,
    Command,
    Context,
    Heartbeat,
    Open,
    Ready,
    Request,
    ResponseEvent,
    Send,
    Status,
    StopConnection,
    TimerClear,
    TimerSet,
    insert_last,
    insert_secret,
)

GATEWAY = "gateway"
ASK = "ask."
"""How the ids of its requests begin."""
LINK_TIMER, IDENTIFY_TIMER = "link", "identify"
QUERY = "/?v=10&encoding=json"
PATIENCE_MS = 60_000
"""How long Discord may take to answer, or to be ready."""
OPERATOR_MS = 600_000
"""Between attempts when a person has to do something first."""
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 300_000
IDENTIFY_EVERY_MS = 5_500
"""One IDENTIFY in five seconds for each bucket; a bot with one shard has one bucket."""
LEAVE = 4000
"""A close code that leaves the session open at Discord; 1000 and 1001 end it."""
BEGIN_ANEW = frozenset({4007, 4009})
"""Close codes after which there is nothing to resume; the host does not dial after fatal ones."""
FOR_THE_OPERATOR = {
    4004: "the bot token is wrong: yoi secret set discord-bot",
    4010: "the shard is wrong",
    4011: "the bot is in so many servers that it needs shards, which this plugin has not",
    4012: "Discord has retired version 10 of its gateway",
    4013: "the setting intents is no valid number",
    4014: "the setting intents asks for more than the bot has in Discord's developer portal",
}
TOKEN = insert_secret("/d/token", "bot")
HEADER = insert_secret("/headers/authorization", "bot", prefix="Bot ")


@dataclass
class Known:
    """A session at Discord."""

    id: str
    url: str
    user: str
    """The bot's own id: who is mentioned."""


class Link:
    """Decides where to dial and how to begin; returns the commands that make it so."""

    def __init__(self, ctx: Context, intents: int) -> None:
        self._intents = intents
        kept = ctx.state.get("session")
        self.known = Known(**kept) if kept else None
        self.seq = int(ctx.state.get("seq", 0))
        """Of the last event that was handled."""
        self.broken: str | None = None
        """The host's session in which a number is missing: it is left, and resumed."""
        self.session: str | None = None
        """The host's session that is open."""
        self.ready = False
        self._waiting = False
        self._failures = 0
        self._problem = ""
        self._resumed = self._identified = 0

    # -- where to dial ------------------------------------------------------------------------

    def begin(self, event_id: str) -> list[Command]:
        """Resume what is known, or ask Discord where to begin."""
        self.ready = False
        if self.known is not None:
            return [Open(GATEWAY, url=self.known.url + QUERY), TimerSet(LINK_TIMER, PATIENCE_MS)]
        request = Request(
            "gateway", "GET", "/api/v10/gateway/bot", insert=[HEADER], id=f"{ASK}{event_id}"
        )
        return [request, TimerSet(LINK_TIMER, PATIENCE_MS)]

    def answered(self, event: ResponseEvent, now_ms: int, ctx: Context) -> list[Command]:
        """Dial the address in Discord's answer, or find out why there is none."""
        if self.known is not None or self.session is not None:
            return []
        if event.status == 401:
            return self._pause(FOR_THE_OPERATOR[4004], OPERATOR_MS)
        answer = fields(_json(event))
        limit = fields(answer.get("session_start_limit"))
        url = answer.get("url")
        if not event.ok or not isinstance(url, str) or not limit:
            return self._pause(
                event.error_message or f"status {event.status}", event.retry_after_ms
            )
        left, reset_ms = int(limit.get("remaining", 0)), int(limit.get("reset_after", 0))
        ctx.state["identify"] = {
            **ctx.state.get("identify", {}),
            "left": left,
            "reset_at": now_ms + reset_ms,
        }
        if left <= 0:
            return self._spent(reset_ms)
        self._failures = 0
        return [Open(GATEWAY, url=url + QUERY), TimerSet(LINK_TIMER, PATIENCE_MS)]

    def needed(self, event_id: str, fresh: bool, ctx: Context) -> list[Command]:
        """The host has no address left, or what is resumed never gets ready."""
        if fresh:
            self._forget(ctx)
        return self.begin(event_id)

    def due(self, event_id: str) -> list[Command]:
        """Nothing came of the last attempt, or a pause is over."""
        if self.ready:
            return []
        if self.session is not None:
            # Not stopped: that would close with 1000, and end what can be resumed.
            return [Close(GATEWAY, code=LEAVE), TimerSet(LINK_TIMER, PATIENCE_MS)]
        return self.begin(event_id)

    # -- how a session begins -------------------------------------------------------------------

    def opened(self, session: str) -> None:
        """Note the new socket; Discord speaks first."""
        self.session = session
        self.ready = False

    def hello(self, interval_ms: int, now_ms: int, ctx: Context) -> list[Command]:
        """Have the host send heartbeats, and resume or identify."""
        beat: dict[str, Any] = {"op": 1, "d": None}
        last = [insert_last("/d", "seq")]
        first_ms = int(interval_ms * random())
        return [
            Heartbeat(
                GATEWAY, interval_ms, json=beat, insert=last, ack=("/op", 11), first_ms=first_ms
            ),
            Autoreply(GATEWAY, when=("/op", 1), json=beat, insert=last),
            *(self._identify(now_ms, ctx) if self.known is None else self._resume(self.known)),
        ]

    def identify_due(self, now_ms: int, ctx: Context) -> list[Command]:
        """The pause before an IDENTIFY is over."""
        waited, self._waiting = self._waiting, False
        return self._identify(now_ms, ctx) if waited and self.session is not None else []

    def _resume(self, known: Known) -> list[Command]:
        d = {"token": None, "session_id": known.id, "seq": self.seq}
        return [Send(json={"op": 6, "d": d}, insert=[TOKEN])]

    def _identify(self, now_ms: int, ctx: Context) -> list[Command]:
        budget = ctx.state.get("identify", {})
        if budget.get("left", 1) <= 0 and now_ms < budget.get("reset_at", 0):
            return [StopConnection(GATEWAY), *self._spent(budget["reset_at"] - now_ms)]
        wait_ms = budget.get("last", 0) + IDENTIFY_EVERY_MS - now_ms
        if 0 < wait_ms <= IDENTIFY_EVERY_MS:
            self._waiting = True
            return [TimerSet(IDENTIFY_TIMER, wait_ms), TimerSet(LINK_TIMER, PATIENCE_MS)]
        # Counted before it is sent: after a crash it is known that it may have been.
        ctx.state["identify"] = {**budget, "last": now_ms, "left": budget.get("left", 1) - 1}
        about = {"os": "linux", "browser": "yoi", "device": "yoi"}
        d = {"token": None, "intents": self._intents, "properties": about}
        identify = {"op": 2, "d": d}
        return [Send(json=identify, insert=[TOKEN], connection=GATEWAY, session="current")]

    def _spent(self, wait_ms: int) -> list[Command]:
        return self._pause("no IDENTIFY is left today: Discord counts them", max(wait_ms, 1_000))

    # -- what Discord says ------------------------------------------------------------------------

    def dispatched(self, kind: object, seq: int, data: dict[str, Any], ctx: Context) -> bool:
        """Note an event; return whether it is new. One that was handled before is not."""
        if kind == "READY":
            user = str(fields(data.get("user")).get("id"))
            url = str(data.get("resume_gateway_url"))
            self.known = Known(str(data.get("session_id")), url.rstrip("/"), user)
            ctx.state["session"] = vars(self.known)
            self._identified += 1
        elif seq <= self.seq:
            return False
        self.seq = seq
        ctx.state["seq"] = seq
        return True

    def is_ready(self, *, resumed: bool) -> list[Command]:
        """The session works: the host may forget earlier failures."""
        self.ready, self._problem = True, ""
        self._resumed += resumed
        words = "connected to Discord" + (", resumed" if resumed else "")
        return [Ready(GATEWAY), TimerClear(LINK_TIMER), Status(words)]

    def told_to_resume(self) -> list[Command]:
        """Leave this socket; the host dials again, where `closed` says."""
        return [Close(GATEWAY, code=LEAVE)]

    def invalid(self, resumable: bool, ctx: Context) -> list[Command]:
        """The session is not valid: resume it on another socket, or begin anew after a moment."""
        if resumable:
            return self.told_to_resume()
        self._forget(ctx)
        self.session = None  # what follows its end is the timer's
        pause = TimerSet(LINK_TIMER, 1_000 + int(4_000 * random()))
        return [StopConnection(GATEWAY), pause]

    def missing(self, session: str) -> list[Command]:
        """Numbers are missing: what comes on this socket is not handled, and comes again."""
        self.broken = session
        return self.told_to_resume()

    def closed(self, session: str, code: int, event_id: str, ctx: Context) -> list[Command]:
        """See what follows the end of a socket."""
        if session == self.broken:
            self.broken = None
        if session != self.session:
            return []
        self.session, self.ready, self._waiting = None, False, False
        if code in FOR_THE_OPERATOR:
            self._forget(ctx)
            self._problem = FOR_THE_OPERATOR[code]
            return [TimerClear(LINK_TIMER), Status(f"not connected: {self._problem}")]
        if code in BEGIN_ANEW:
            self._forget(ctx)
        if self.known is None:
            return [StopConnection(GATEWAY), *self.begin(event_id)]
        return self.begin(event_id)

    def failed(self, why: str) -> list[Command]:
        """A dial failed; the host goes on dialling."""
        self._problem = why
        return []

    def refused(self, command: str, why: str, ctx: Context) -> list[Command]:
        """The host did not carry out what the way into a session needs."""
        if command == "websocket_open":
            self._forget(ctx)  # Discord named an address outside of what a person has granted
        return self._pause(why, None)

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        found = {"ready": self.ready, "seq": self.seq, "problem": self._problem}
        return {**found, "identified": self._identified, "resumed": self._resumed}

    def _forget(self, ctx: Context) -> None:
        if self.known is not None:
            ctx.log("the session cannot be resumed: events since then may be missing", "warning")
        self.known, self.seq, self.ready = None, 0, False
        ctx.state["session"], ctx.state["seq"] = None, 0

    def _pause(self, why: str, wait_ms: int | None) -> list[Command]:
        self._problem = why
        self._failures += 1
        longest = min(FIRST_PAUSE_MS * 2**self._failures, LONGEST_PAUSE_MS)
        pause = wait_ms or int(longest * (0.5 + random() / 2))
        return [TimerSet(LINK_TIMER, min(pause, 86_400_000)), Status(f"not connected: {why}")]


def fields(value: Any) -> dict[str, Any]:
    """Return `value` if it is an object, else an empty one: messages may have any shape."""
    return value if isinstance(value, dict) else {}


def _json(event: ResponseEvent) -> Any:
    try:
        return event.json()
    except ValueError:
        return None

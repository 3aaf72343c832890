"""Getting from one socket to the next. Slack's addresses are good for one dial each.

    WAITING --address needed--> ASKING --address--> DIALLING --open--> LIVE
    ASKING --Slack said no--> PAUSED --timer--> ASKING
    LIVE --told to leave--> ASKING        LIVE --closed--> WAITING

The host paces dials and says when it needs an address (`ErrorEvent.reconnect_needed`). Here it is
only decided where to get one, and when asking Slack for one is pointless. The next socket is asked
for while the last one still works; the host lets them overlap.
"""

from enum import Enum
from random import random
from typing import Any

from yoi_pdk import (
    Command,
    DeniedEvent,
    Open,
    Ready,
    Request,
    ResponseEvent,
    SendFailedEvent,
    Status,
    TimerClear,
    TimerSet,
    insert_secret,
)

GATEWAY = "gateway"
ASK = "open."
"""How the ids of its requests begin."""
LINK_TIMER = "link"

PATIENCE_MS = 60_000
"""How long Slack may take to answer."""

SECOND_CHANCE_MS = 300_000
"""Then it asks again whatever has become of the last address."""

FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 300_000

OPERATOR_MS = 600_000
"""Between attempts when a person has to do something first."""

FOR_THE_OPERATOR = {
    "invalid_auth": "the app token is wrong: yoi secret set slack-app",
    "not_authed": "the app token is empty: yoi secret set slack-app",
    "token_revoked": "the app token was revoked: create another, then yoi secret set slack-app",
    "token_expired": "the app token has expired: create another, then yoi secret set slack-app",
    "not_allowed_token_type": "this is no app-level token: it starts with xapp-",
    "missing_scope": "the app token needs the scope connections:write",
    "account_inactive": "the app was removed from the workspace",
    "link_disabled": "Socket Mode is switched off in the app's settings",
}
TOO_MANY = "the app has too many sockets open (Slack allows 10)"


class Phase(Enum):
    WAITING = "waiting"
    ASKING = "asking"
    PAUSED = "paused"
    DIALLING = "dialling"
    LIVE = "live"


_NEXT = {
    Phase.WAITING: {Phase.ASKING, Phase.LIVE},
    Phase.ASKING: {Phase.ASKING, Phase.DIALLING, Phase.PAUSED, Phase.LIVE},
    Phase.PAUSED: {Phase.ASKING, Phase.LIVE},
    Phase.DIALLING: {Phase.LIVE, Phase.ASKING, Phase.PAUSED},
    Phase.LIVE: {Phase.LIVE, Phase.ASKING, Phase.PAUSED, Phase.WAITING},
}


class Link:
    """Decides when to ask for an address; returns the commands that make it so."""

    def __init__(self) -> None:
        self.phase = Phase.WAITING
        self.session: str | None = None
        self._request_id = ""
        self._greeted = False
        self._failures = 0
        self._sockets = 0
        self._problem = ""

    def ask(self, event_id: str) -> list[Command]:
        """Ask Slack for the address of a new socket."""
        self._transition(Phase.ASKING)
        # The event's id makes it unique, and the same should this event be delivered again.
        self._request_id = f"{ASK}{event_id}"
        return [
            Request(
                "socket",
                "POST",
                "/api/apps.connections.open",
                insert=[insert_secret("/headers/authorization", "app", prefix="Bearer ")],
                capture=["socket_url"],
                id=self._request_id,
            ),
            TimerSet(LINK_TIMER, PATIENCE_MS),
        ]

    def answered(self, event: ResponseEvent) -> list[Command]:
        """Dial the address in Slack's answer, or find out why there is none."""
        if self.phase is not Phase.ASKING or event.command_id != self._request_id:
            return []  # too late: given up, or asked again since
        answer = _object(event)
        handle = event.captured.get("socket_url")
        if answer.get("ok") is True and handle is not None:
            self._failures = 0
            self._transition(Phase.DIALLING)
            return [Open(GATEWAY, handle=handle), TimerSet(LINK_TIMER, SECOND_CHANCE_MS)]
        error = str(answer.get("error") or event.error_code or f"status {event.status}")
        if error in FOR_THE_OPERATOR:
            return self._pause(FOR_THE_OPERATOR[error], OPERATOR_MS)
        return self._pause(event.error_message or error, event.retry_after_ms)

    def opened(self, session: str) -> list[Command]:
        """Note the new socket; it counts when Slack has said hello."""
        self._transition(Phase.LIVE)
        self.session = session
        self._greeted = False
        self._sockets += 1
        return [TimerSet(LINK_TIMER, PATIENCE_MS)]

    def greeted(self, session: str) -> list[Command]:
        """The socket works: the host may forget earlier failures."""
        if session != self.session:
            return []
        self._greeted = True
        self._problem = ""
        status = Status(f"connected to Slack (socket {self._sockets})")
        return [Ready(GATEWAY), TimerClear(LINK_TIMER), status]

    def told_to_leave(self, session: str, reason: str, event_id: str) -> list[Command]:
        """Slack wants this socket back: get the next one first, then let it go."""
        if session != self.session or self.phase is not Phase.LIVE:
            return []
        if reason in FOR_THE_OPERATOR:
            return self._pause(FOR_THE_OPERATOR[reason], OPERATOR_MS)
        if reason == "too_many_websockets":
            return self._pause(TOO_MANY, PATIENCE_MS)
        return self.ask(event_id)

    def closed(self, session: str, why: str) -> list[Command]:
        """The newest socket is gone; the host will say when it needs an address."""
        if session != self.session:
            return []  # an older one, as it should be
        self.session = None
        self._problem = f"the socket was closed: {why}"
        if self.phase is not Phase.LIVE:
            return []  # the next one is on its way
        self._transition(Phase.WAITING)
        return [TimerSet(LINK_TIMER, SECOND_CHANCE_MS)]

    def needed(self, event_id: str) -> list[Command]:
        """The host would dial now if it had an address."""
        if self.phase in (Phase.ASKING, Phase.PAUSED):
            return []  # asked already, or Slack said no
        return self.ask(event_id)

    def failed(self, why: str) -> list[Command]:
        """A dial did not work: the host asks for another address after its pause."""
        self._problem = why
        return []

    def asked_for(self, event: DeniedEvent | SendFailedEvent) -> bool:
        """Return whether the command that was not carried out is one of these."""
        return event.command == "websocket_open" or event.command_id.startswith(ASK)

    def refused(self, why: str) -> list[Command]:
        """A command was not allowed: a person has to do something."""
        if self.phase in (Phase.ASKING, Phase.DIALLING):
            return self._pause(why)
        return []

    def due(self, event_id: str) -> list[Command]:
        """Ask when the pause is over, or give up what took too long."""
        if self.phase is Phase.ASKING:
            return self._pause(f"no answer within {PATIENCE_MS // 1000} s")
        if self.phase is Phase.LIVE and self._greeted:
            return []
        return self.ask(event_id)

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        return {"phase": self.phase.value, "sockets": self._sockets, "problem": self._problem}

    def _pause(self, why: str, least_ms: int | None = None) -> list[Command]:
        self._transition(Phase.PAUSED)
        self._problem = why
        longest = min(FIRST_PAUSE_MS * 2 ** min(self._failures, 12), LONGEST_PAUSE_MS)
        self._failures += 1
        pause = max(round(longest * (0.5 + random() / 2)), least_ms or 0)
        return [
            TimerSet(LINK_TIMER, pause),
            Status(f"not connected: {why}; next attempt in {pause / 1000:.0f} s"),
        ]

    def _transition(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise RuntimeError(f"{self.phase.value} does not lead to {phase.value}")
        self.phase = phase


def _object(event: ResponseEvent) -> dict[str, Any]:
    try:
        value = event.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

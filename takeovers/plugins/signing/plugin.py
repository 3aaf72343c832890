"""Signs in once and resumes after that; what is not confirmed is said again under its nonce.

Session, number of the last event that was handled, count and answers that are not confirmed are
its state, written together with the event that changed them.
"""

import json
from typing import Any

from yoi_pdk import (
    Close,
    CloseEvent,
    Command,
    Context,
    Event,
    GapEvent,
    Notify,
    OpenEvent,
    Plugin,
    Ready,
    Send,
    StartedEvent,
    TextEvent,
    insert_secret,
)

TELLS = "TELLS" == "yes"
LEAVE = 4000
TOKEN = insert_secret("/token", "bot")


class Signing(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.session: str | None = None
        """The host's session that is open."""
        self.broken: str | None = None
        """The host's session in which a number is missing: it is left, and resumed."""
        self.ready = False

    def on_event(self, event: Event, ctx: Context) -> Any:
        match event:
            case StartedEvent() if event.connections:
                # The host kept the socket while this instance was made anew.
                open_one = event.connections[0]
                self.session, self.ready = str(open_one["session"]), bool(open_one.get("ready"))
                return self._say_again(ctx) if self.ready else [Close("gateway", code=LEAVE)]
            case OpenEvent() if event.reason != "still_open":
                self.session, self.ready = event.session, False
            case CloseEvent() if event.session == self.session:
                self.session, self.ready = None, False
            case GapEvent() if event.why == "sequence":
                self.broken = event.session
                return [Close("gateway", code=LEAVE)]
        return None

    def on_text(self, event: TextEvent, ctx: Context) -> Any:
        said = json.loads(event.text)
        match said["op"]:
            case "hello":
                return [self._sign_in(ctx)] if event.session == self.session else []
            case "ready":
                ctx.state["session"] = said["session"]
                ctx.state["s"] = said["s"]
                return self._begin(event, ctx)
            case "resumed":
                return self._begin(event, ctx)
            case "ok":
                waiting = dict(ctx.state.get("waiting", {}))
                if waiting.pop(said["nonce"], None) is not None:
                    ctx.state["waiting"] = waiting
                return []
        if event.session == self.broken or said["s"] <= ctx.state.get("s", 0):
            return []
        return self._handle(said["s"], said["number"], ctx)

    def _sign_in(self, ctx: Context) -> Command:
        asked: dict[str, Any] = {"op": "identify", "token": None}
        if "session" in ctx.state:
            known = {"session": ctx.state["session"], "s": ctx.state["s"]}
            asked = {"op": "resume", "token": None, **known}
        return Send(json=asked, insert=[TOKEN])

    def _begin(self, event: TextEvent, ctx: Context) -> list[Command]:
        if event.session != self.session:
            return []
        self.ready = True
        return [Ready("gateway"), *self._say_again(ctx)]

    def _say_again(self, ctx: Context) -> list[Command]:
        """Say what is not confirmed: the gateway knows it by its nonce, if it has it."""
        return [_say(one) for one in ctx.state.get("waiting", {}).values()]

    def _handle(self, s: int, number: int, ctx: Context) -> list[Command]:
        count = ctx.state.get("count", 0) + 1
        nonce = f"n{count}"
        answer = {"op": "answer", "number": number, "count": count, "nonce": nonce}
        answer |= {"session": ctx.state["session"], "s": s}
        ctx.state["s"], ctx.state["count"] = s, count
        ctx.state["waiting"] = {**ctx.state.get("waiting", {}), nonce: answer}
        commands: list[Command] = [_say(answer)] if self.ready else []
        if TELLS and number % 20 == 0:
            commands.append(Notify("WORKER", f"{number}", id=f"n-{number}"))
        return commands


def _say(answer: dict[str, Any]) -> Command:
    return Send(json=answer, connection="gateway", session="current")

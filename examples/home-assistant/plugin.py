"""A house at a Home Assistant hub: sign-in, what is watched, and services as tools."""

from typing import Any

from house import House

from yoi_pdk import (
    Answer,
    CloseEvent,
    Command,
    Complete,
    Context,
    Defer,
    DeniedEvent,
    GapEvent,
    Heartbeat,
    Notify,
    Plugin,
    Ready,
    Send,
    SendFailedEvent,
    StartedEvent,
    Status,
    StopConnection,
    TextEvent,
    ToolCall,
    ToolResult,
    insert_counter,
    insert_secret,
    on,
    tool,
)

HUB, WORKER = "hub", "house"
WATCH = "watch."
"""How the questions begin by which the hub is asked to tell what changes."""
PING_MS = 30_000
CALL_MS = 15_000
"""How long a service may take: a cover needs its time."""
USUAL = (
    "light.turn_on",
    "light.turn_off",
    "switch.turn_on",
    "switch.turn_off",
    "scene.turn_on",
)
WATCHED_AT_MOST = 32


def ask(message: dict[str, Any], id: str, session: str = "source") -> Send:
    """Return a command of the hub's; it wants ids that grow, and answers with the same id."""
    return Send(
        connection=HUB,
        json={"id": None, **message},
        insert=[insert_counter("/id")],
        reply_at="/id",
        session=session,
        id=id,
    )


class HomeAssistant(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.services = tuple(config.get("services") or USUAL)
        watched = config.get("watch", [])
        if len(watched) > WATCHED_AT_MOST:
            raise ValueError(f"watch has {len(watched)} entities; at most {WATCHED_AT_MOST}")
        self.house = House(watched, ctx.state.get("house", {}))
        self.signed_in = False
        self.trouble = ""

    # -- sign-in ----------------------------------------------------------------------------------

    @on("/type", "auth_required")
    def sign_in(self, event: TextEvent, ctx: Context) -> Answer:
        self.signed_in = False
        return Send(
            json={"type": "auth", "access_token": None},
            insert=[insert_secret("/access_token", "token")],
        )

    @on("/type", "auth_ok")
    def accepted(self, event: TextEvent, ctx: Context) -> Answer:
        self.signed_in, self.trouble = True, ""
        beat = Heartbeat(
            HUB,
            PING_MS,
            json={"id": None, "type": "ping"},
            insert=[insert_counter("/id")],
            ack=("/type", "pong"),
        )
        said = Status(f"signed in at {event.json().get('ha_version', 'a hub')}")
        commands: list[Command] = [Ready(HUB), beat, said]
        if self.house.entities:  # without any the hub would tell of all
            watch = {"type": "subscribe_entities", "entity_ids": list(self.house.entities)}
            commands.append(ask(watch, WATCH + event.session))
        return commands

    @on("/type", "auth_invalid")
    def refused(self, event: TextEvent, ctx: Context) -> Answer:
        """Give the connection up: a hub bans an address that goes on trying a wrong token."""
        why = str(event.json().get("message", ""))
        self.trouble = f"the hub refused the token: {why}"
        return [StopConnection(HUB, reason=why, until="secret"), Status(self.trouble)]

    # -- what the hub says ------------------------------------------------------------------------

    @on("/type", "result")
    def answered(self, event: TextEvent, ctx: Context) -> Answer:
        question, answer = event.in_reply_to, event.json()
        if question is None:
            return None  # too late, or to what an earlier instance asked
        error = None if answer.get("success") else error_of(answer)
        if not question.startswith(WATCH):
            if error is not None:
                return Complete(question, error=error)
            return Complete(question, ToolResult("done", answer.get("result")))
        if error is not None:
            self.trouble = f"the hub does not tell what changes: {error}"
            return Status(self.trouble)
        return None

    @on("/type", "event")
    def changed(self, event: TextEvent, ctx: Context) -> Answer:
        told = self.house.changes(event.json().get("event"))
        if told:
            ctx.state["house"] = self.house.kept()
        # The id is the change's: told twice, it is put before the worker once.
        return [Notify(WORKER, one.text, id=one.id) for one in told if one.text]

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        return None  # pongs

    # -- what happens to the connection -----------------------------------------------------------

    def on_started(self, event: StartedEvent, ctx: Context) -> Answer:
        # An instance that takes an open session over: it was signed in if it was ready.
        self.signed_in = any(one.get("ready") for one in event.connections)
        return None

    def on_close(self, event: CloseEvent, ctx: Context) -> Answer:
        self.signed_in = False
        return None

    def on_gap(self, event: GapEvent, ctx: Context) -> Answer:
        # Each subscription begins with all states: what has changed meanwhile is told then.
        ctx.log(f"messages of the hub may be missing ({event.why})", "warning")
        return None

    def on_send_failed(self, event: SendFailedEvent, ctx: Context) -> Answer:
        ctx.log(f"{event.command} was not carried out: {event.message}", "warning")
        return None

    def on_denied(self, event: DeniedEvent, ctx: Context) -> Answer:
        ctx.log(f"{event.command} was refused: {event.message}", "error")
        return None

    # -- tools ------------------------------------------------------------------------------------

    @tool
    def states(self) -> ToolResult:
        """Say the state of each watched entity, and since when it has been so."""
        fresh = "" if self.signed_in else " (the hub is not connected: as last heard)"
        return ToolResult(f"{len(self.house.seen)} entities{fresh}", self.house.shown())

    @tool(external_write=True)
    def call_service(
        self, service: str, entity: str, call: ToolCall, data: dict[str, Any] | None = None
    ) -> Defer | ToolResult:
        """Call a service of the hub, such as light.turn_on, for one entity. Returns once the hub
        has done it.
        """
        if service not in self.services:
            return ToolResult(f"{service} is not allowed", {"allowed": list(self.services)})
        if not self.signed_in:
            return ToolResult("the hub is not connected")
        domain, _, name = service.partition(".")
        question = {
            "type": "call_service",
            "domain": domain,
            "service": name,
            "service_data": data or {},
            "target": {"entity_id": entity},
        }
        return Defer(call.id, CALL_MS, ask(question, call.id, "current"))

    def status(self) -> dict[str, Any]:
        return {
            "signed_in": self.signed_in,
            "watched": len(self.house.entities),
            **({"trouble": self.trouble} if self.trouble else {}),
        }


def error_of(answer: dict[str, Any]) -> str:
    """Return why the hub did not do something, in its words."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return "no reason given"
    return f"{error.get('message', '')} ({error.get('code', '')})"

"""A Discord bot: what arrives, and which part handles it."""

from typing import Any

from answers import Answers
from link import ASK, IDENTIFY_TIMER, LINK_TIMER, Link, fields
from outbox import OUTBOX_TIMER, POST, Outbox

from yoi_pdk import (
    Answer,
    CloseEvent,
    Command,
    Context,
    DeniedEvent,
    ErrorEvent,
    Event,
    GapEvent,
    OpenEvent,
    Plugin,
    ResponseEvent,
    SendFailedEvent,
    StartedEvent,
    TextEvent,
    TimerEvent,
)


class Discord(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.link = Link(ctx, config.get("intents", 4608))
        self.outbox = Outbox(ctx)
        self.answers = Answers(config.get("prefix", "You said: "))

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        try:
            message = fields(event.json())
        except ValueError:
            message = {}
        link, data = self.link, message.get("d")
        if message.get("op") == 0:
            return self._dispatch(event, message, ctx)
        if event.session != link.session:
            return None  # of a socket that is gone: the host kept it over a restart
        match message.get("op"):
            case 7:
                return link.told_to_resume()
            case 9:
                return link.invalid(data is True, ctx)
            case 10:
                interval = fields(data).get("heartbeat_interval")
                interval_ms = interval if isinstance(interval, int) else 41_250
                return link.hello(min(max(interval_ms, 1_000), 3_600_000), _now(event), ctx)
        return None  # 1 and 11: the host deals with heartbeats

    def _dispatch(self, event: TextEvent, message: dict[str, Any], ctx: Context) -> list[Command]:
        link, kind, seq = self.link, message.get("t"), message.get("s")
        data = fields(message.get("d"))
        if event.session == link.broken or type(seq) is not int:
            return []  # it comes again when the session is resumed
        if not link.dispatched(kind, seq, data, ctx):
            return []
        if kind in ("READY", "RESUMED") and event.session == link.session:
            return [*link.is_ready(resumed=kind == "RESUMED"), *self.outbox.pump(_now(event))]
        if kind != "MESSAGE_CREATE" or link.known is None:
            return []
        answer = self.answers.to(data, link.known.user)
        if answer is None:
            return []
        self.outbox.add(*answer, ctx)
        return self.outbox.pump(_now(event))

    def on_event(self, event: Event, ctx: Context) -> Answer:
        link, session = self.link, event.session or ""
        match event:
            case StartedEvent() if event.connections:
                # The host kept the socket, its heartbeat and the session while we were replaced.
                link.opened(str(event.connections[0]["session"]))
                link.ready = bool(event.connections[0].get("ready"))
                return self.outbox.pump(_now(event))
            case StartedEvent():
                return [*link.begin(event.id), *self.outbox.pump(_now(event))]
            case OpenEvent():
                link.opened(session) if event.reason != "still_open" else None
            case CloseEvent():
                return link.closed(session, event.code, event.id, ctx)
            case ErrorEvent() if event.reconnect_needed:
                return link.needed(event.id, event.payload.get("fresh") is True, ctx)
            case ErrorEvent():
                return link.failed(f"{event.code}: {event.message}")
            case ResponseEvent() if event.command_id.startswith(ASK):
                return link.answered(event, _now(event), ctx)
            case ResponseEvent() if event.command_id.startswith(POST):
                return self.outbox.answered(event, _now(event), ctx)
            case TimerEvent() if event.name == LINK_TIMER:
                return link.due(event.id)
            case TimerEvent() if event.name == IDENTIFY_TIMER:
                return link.identify_due(_now(event), ctx)
            case TimerEvent() if event.name == OUTBOX_TIMER:
                return self.outbox.pump(_now(event))
            case DeniedEvent() | SendFailedEvent():
                ctx.log(f"{event.command} was refused: {event.message}", "error")
                if event.command_id.startswith(POST):
                    return self.outbox.refused(event.command_id, _now(event))
                return link.refused(event.command, event.message, ctx) if not link.ready else None
            case GapEvent() if event.why == "sequence":
                ctx.log(f"events are missing: {event.missing}; the session is resumed", "warning")
                return link.missing(session)
            case GapEvent():
                ctx.log(
                    f"there was a gap ({event.why}); Discord sends again what was in it", "info"
                )
        return None

    def status(self) -> dict[str, Any]:
        return {**self.link.status(), **self.outbox.status(), **self.answers.status()}


def _now(event: Event) -> int:
    """Return when the host made the event, in milliseconds since 1970."""
    return int(event.created_at.timestamp() * 1000)

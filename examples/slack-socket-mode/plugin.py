"""A Slack app in Socket Mode: what arrives, and which part handles it."""

from typing import Any

from answers import Answers, fields
from link import ASK, LINK_TIMER, Link
from outbox import RESEND_TIMER, Outbox

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


class Slack(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.link = Link()
        self.outbox = Outbox()
        self.answers = Answers(config.get("channels", []), config.get("prefix", "You said: "))

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        try:
            message = fields(event.json())
        except ValueError:
            message = {}
        kind = message.get("type")
        if kind == "hello":
            return [*self.link.greeted(event.session), *self.outbox.introduce(event.id)]
        if kind == "disconnect":
            return self.link.told_to_leave(event.session, str(message.get("reason")), event.id)
        if not isinstance(message.get("envelope_id"), str):
            ctx.log(f"a message of the unknown type {kind!r:.40}", "debug")
            return None
        return self._envelope(event, message)

    def _envelope(self, event: TextEvent, envelope: dict[str, Any]) -> list[Command]:
        """Acknowledge first, on the socket that asked; Slack waits three seconds."""
        answered = self.answers.to(envelope)
        requests = [
            self.outbox.add(request, f"{event.id}.{number}")
            for number, request in enumerate(answered.requests)
        ]
        return [event.reply(answered.acknowledgement), *requests]

    def on_event(self, event: Event, ctx: Context) -> Answer:
        link = self.link
        match event:
            case StartedEvent():
                return link.ask(event.id)
            case OpenEvent(reason="still_open"):
                # Another instance opened it, and what it knew of it is gone: StartedEvent asks for
                # a new address, and the host lets this session go when its successor is there.
                return None
            case OpenEvent():
                return link.opened(event.session or "")
            case CloseEvent():
                return link.closed(event.session or "", f"{event.code} {event.reason}")
            case ErrorEvent() if event.reconnect_needed:
                return link.needed(event.id)
            case ErrorEvent():
                return link.failed(f"{event.code}: {event.message}")
            case ResponseEvent() if event.command_id.startswith(ASK):
                return link.answered(event)
            case ResponseEvent():
                return self.outbox.answered(event, ctx)
            case TimerEvent() if event.name == LINK_TIMER:
                return link.due(event.id)
            case TimerEvent() if event.name == RESEND_TIMER:
                return self.outbox.resend()
            case DeniedEvent() | SendFailedEvent() if link.asked_for(event):
                ctx.log(f"{event.command} was refused: {event.message}", "error")
                return link.refused(event.message)
            case DeniedEvent() | SendFailedEvent():
                # A lost acknowledgement is no loss: Slack sends the envelope again.
                ctx.log(f"{event.command} was not carried out: {event.message}", "warning")
            case GapEvent():
                ctx.log(f"events may be missing ({event.why}); Slack sends them again", "warning")
        return None

    def status(self) -> dict[str, Any]:
        return {**self.link.status(), **self.outbox.status(), **self.answers.status()}

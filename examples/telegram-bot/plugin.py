"""A Telegram bot: what arrives, and which part handles it."""

from typing import Any

from answers import answer_to
from outbox import OUTBOX_TIMER, POST, Outbox
from polling import POLL, POLL_TIMER, Polling

from yoi_pdk import (
    Answer,
    Context,
    DeniedEvent,
    Event,
    Plugin,
    ResponseEvent,
    StartedEvent,
    TimerEvent,
)


class Telegram(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.polling = Polling(ctx)
        self.outbox = Outbox(ctx)
        self.prefix = config.get("prefix", "You said: ")
        self.answered = 0

    def on_event(self, event: Event, ctx: Context) -> Answer:
        match event:
            case StartedEvent():
                return [self.polling.ask(), *self.outbox.pump(_now(event), ctx)]
            case ResponseEvent() if event.command_id.startswith(POLL):
                updates, commands = self.polling.heard(event, ctx)
                for update in updates:
                    found = answer_to(update, self.prefix, self.answered)
                    if found is not None:
                        self.answered += 1
                        self.outbox.add(*found, ctx)
                # The answers and the new offset are written in one record, before anything is sent.
                return [*self.outbox.pump(_now(event), ctx), *commands]
            case ResponseEvent() if event.command_id.startswith(POST):
                return self.outbox.heard(event, _now(event), ctx)
            case TimerEvent() if event.name == POLL_TIMER:
                return [self.polling.ask()]
            case TimerEvent() if event.name == OUTBOX_TIMER:
                return self.outbox.pump(_now(event), ctx)
            case DeniedEvent() if event.command_id.startswith(POST):
                return self.outbox.refused(event.command_id, _now(event), ctx)
            case DeniedEvent():
                return self.polling.refused(event.message)
        return None

    def status(self) -> dict[str, Any]:
        return {**self.polling.status(), **self.outbox.status(), "answered": self.answered}


def _now(event: Event) -> int:
    """Return when the host made the event, in milliseconds since 1970."""
    return int(event.created_at.timestamp() * 1000)

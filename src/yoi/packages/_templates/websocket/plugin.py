"""Answers every text message. The host owns the connection; this code only decides."""

from typing import Any

from yoi_pdk import CloseEvent, Context, GapEvent, OpenEvent, Plugin, Reply, TextEvent


class Echo(Plugin):
    """One object lives as long as the service runs, so plain attributes keep state."""

    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        """Remember the operator's settings. No connection is open yet."""
        self.prefix: str = config.get("prefix", "echo: ")
        self.answered = 0
        self.gaps = 0

    def on_text(self, event: TextEvent, ctx: Context) -> Reply:
        """Answer on the connection the message came from."""
        self.answered += 1
        return event.reply(self.prefix + event.text)

    def on_open(self, event: OpenEvent, ctx: Context) -> None:
        """Hear that a session has begun; the host dials, there is nothing to reconnect here."""
        how = "still open" if event.reason == "still_open" else "open"
        ctx.log(f"{event.connection} is {how}")  # still: this instance replaces another one

    def on_close(self, event: CloseEvent, ctx: Context) -> None:
        """Hear that it has ended; the host dials again."""
        ctx.log(f"{event.connection} closed with {event.code}")

    def on_gap(self, event: GapEvent, ctx: Context) -> None:
        """Hear that messages may be missing: a real plugin would fetch them here."""
        self.gaps += 1

    def status(self) -> dict[str, Any]:
        """Shown by `yoi service status`."""
        return {"answered": self.answered, "gaps": self.gaps}

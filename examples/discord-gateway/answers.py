"""What people say, and what they are answered. No token, address or socket is in sight here."""

from typing import Any

from link import fields

MESSAGE_CHARS = 2000
HELP = (
    "I repeat what you tell me: mention me, or write to me directly. "
    "`help` shows this, `count` says how many messages I have answered."
)


class Answers:
    """Answers messages that are meant for the bot."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._answered = 0

    def to(self, message: dict[str, Any], me: str) -> tuple[str, str, dict[str, Any]] | None:
        """Return nonce, channel and body of the answer; None where the message is not for us."""
        author, mentions = fields(message.get("author")), message.get("mentions")
        message_id, channel = str(message.get("id", "")), str(message.get("channel_id", ""))
        if author.get("bot") or not (_is_id(message_id) and _is_id(channel)):
            return None  # ourselves, other bots; and ids are put into a path
        named = [fields(one).get("id") for one in mentions] if isinstance(mentions, list) else []
        if message.get("guild_id") is not None and me not in named:
            return None
        text = str(message.get("content", ""))
        for mention in (f"<@{me}>", f"<@!{me}>"):
            text = text.replace(mention, "")
        self._answered += 1
        return (
            message_id,
            channel,
            {
                "content": self._say(text.strip())[:MESSAGE_CHARS],
                "message_reference": {"message_id": message_id, "fail_if_not_exists": False},
                "allowed_mentions": {"parse": []},
            },
        )

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        return {"answered": self._answered}

    def _say(self, text: str) -> str:
        match text.lower():
            case "help" | "":
                return HELP
            case "count":
                return f"I have answered {self._answered} messages since I started."
        return self._prefix + text


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20

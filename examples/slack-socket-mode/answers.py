"""What people say, and what they are answered. No token, address or socket is in sight here."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from outbox import Post
from seen import Seen

ECHO_CHARS = 2000

HELP = (
    "I repeat what you tell me: mention me, or write to me directly. "
    "`help` shows this, `count` says how many messages I have answered."
)
COMMAND_HELP = (
    "`help`, `count`, `say <text>` (to the whole channel), or any text to have it echoed."
)


@dataclass
class Answered:
    """The acknowledgement of an envelope, and what to post."""

    acknowledgement: str
    requests: list[Post]


class Answers:
    """Answers envelopes; each only once, however often Slack sends it."""

    def __init__(self, channels: list[str], prefix: str) -> None:
        self._channels = frozenset(channels)
        self._prefix = prefix
        self._seen = Seen(1000)
        self._answered = 0
        self._repeated = 0

    def to(self, envelope: dict[str, Any]) -> Answered:
        """Return the answer to `envelope`; to a repeated one the acknowledgement alone."""
        payload = fields(envelope.get("payload"))
        # A retried event has its old event_id, whatever envelope it comes in.
        key = str(payload.get("event_id") or payload.get("trigger_id") or envelope["envelope_id"])
        said: dict[str, Any] | None = None
        posts: list[Post] = []
        if key in self._seen:
            self._repeated += 1
        else:
            kind = envelope.get("type")
            if kind == "events_api":
                posts = self._event(payload)
            elif kind == "slash_commands":
                said, posts = self._command(payload)
            elif kind == "interactive":
                posts = self._interaction(payload)
            self._seen.add(key)
        acknowledgement: dict[str, Any] = {"envelope_id": envelope["envelope_id"]}
        if said is not None and envelope.get("accepts_response_payload"):
            acknowledgement["payload"] = said
        return Answered(json.dumps(acknowledgement), posts)

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        return {"answered": self._answered, "repeated": self._repeated}

    def _event(self, payload: dict[str, Any]) -> list[Post]:
        event = fields(payload.get("event"))
        # A mention in a channel arrives as app_mention and, with the scope, as message too.
        direct = event.get("type") == "message" and event.get("channel_type") == "im"
        if not (direct or event.get("type") == "app_mention"):
            return []
        if event.get("bot_id") or event.get("subtype"):
            return []  # ourselves, other bots, edits, joins
        channel = str(event.get("channel", ""))
        if self._channels and channel not in self._channels and not direct:
            return []
        text = re.sub(r"^\s*<@[A-Z0-9]+>\s*", "", str(event.get("text", "")))
        answer: dict[str, Any] = {"channel": channel, "text": self._say(text, HELP)}
        if not direct:
            answer["thread_ts"] = event.get("thread_ts") or event.get("ts")
        if text.strip().lower() == "help":
            answer["blocks"] = _with_button(HELP)
        return [Post("web", "/api/chat.postMessage", answer)]

    def _command(self, payload: dict[str, Any]) -> tuple[dict[str, Any] | None, list[Post]]:
        text = str(payload.get("text", ""))
        if self._channels and payload.get("channel_id") not in self._channels:
            return {"text": "I am not used in this channel."}, []
        word, _, rest = text.strip().partition(" ")
        if word == "say" and rest:
            body = {"response_type": "in_channel", "text": self._say(rest, COMMAND_HELP)}
            return None, _to_response_url(payload, body)
        return {"text": self._say(text, COMMAND_HELP)}, []

    def _interaction(self, payload: dict[str, Any]) -> list[Post]:
        actions = payload.get("actions")
        buttons = actions if isinstance(actions, list) else []
        pressed = [fields(button).get("action_id") for button in buttons]
        if "hello" not in pressed:
            return []
        self._answered += 1
        body = {"replace_original": False, "text": "Hello to you too."}
        return _to_response_url(payload, body)

    def _say(self, text: str, help_text: str) -> str:
        self._answered += 1
        match text.strip().lower():
            case "help" | "":
                return help_text
            case "count":
                return f"I have answered {self._answered} messages since I started."
        return self._prefix + _harmless(text)[:ECHO_CHARS]


def fields(value: Any) -> dict[str, Any]:
    """Return `value` if it is an object, else an empty one: messages may have any shape."""
    return value if isinstance(value, dict) else {}


def _harmless(text: str) -> str:
    """Return `text` so that repeating it mentions nobody: Slack writes mentions in <angles>."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _with_button(text: str) -> list[dict[str, Any]]:
    button = {
        "type": "button",
        "action_id": "hello",
        "text": {"type": "plain_text", "text": "Say hello"},
    }
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {"type": "actions", "elements": [button]},
    ]


def _to_response_url(payload: dict[str, Any], body: dict[str, Any]) -> list[Post]:
    """The host lets it go only to the hosts and paths in plugin.toml, whatever the payload says."""
    try:
        path = urlsplit(str(payload.get("response_url", ""))).path
    except ValueError:
        path = ""
    return [Post("hooks", path, body)] if path.startswith("/") else []

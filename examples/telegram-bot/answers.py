"""What people say, and what they are answered. No token, address or socket is in sight here."""

from typing import Any

MESSAGE_CHARS = 2000
HELP = "I repeat what you tell me. /help shows this, /count says how many messages I answered."


def answer_to(
    update: dict[str, Any], prefix: str, answered: int
) -> tuple[int, dict[str, Any]] | None:
    """Return the update's number and the message to send; None where nobody asked the bot."""
    message = _fields(update.get("message"))
    chat, sender = _fields(message.get("chat")), _fields(message.get("from"))
    text, number, place = message.get("text"), update.get("update_id"), chat.get("id")
    if type(number) is not int or type(place) is not int or not isinstance(text, str):
        return None
    word = text.partition(" ")[0].partition("@")[0].lower()
    if sender.get("is_bot") is True or not (chat.get("type") == "private" or word[:1] == "/"):
        return None  # other bots, and what people say to each other in a group
    said = {
        "/start": HELP,
        "/help": HELP,
        "/count": f"I have answered {answered} messages since I started.",
    }.get(word, prefix + text)
    made: dict[str, Any] = {"chat_id": place, "text": said[:MESSAGE_CHARS]}
    if type(message.get("message_id")) is int:
        about = {"message_id": message["message_id"], "allow_sending_without_reply": True}
        made["reply_parameters"] = about
    return number, made


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

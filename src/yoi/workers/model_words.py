"""What a model's provider refused, in a sentence: who, why, and what to look at."""

from typing import Protocol

_WHY = {
    400: "it does not accept the request",
    401: "the API key is missing or wrong",
    402: "the account has no credit",
    403: "the API key may not use this model",
    404: "there is no such model or address: look at model and base_url",
    408: "it took too long",
    413: "the request is too large",
    429: "too many requests, or the quota is used up",
    500: "a fault of the provider",
    502: "the provider's servers cannot be reached",
    503: "the provider is overloaded or down",
    529: "the provider is overloaded",
}
_KEYS = ("message", "error", "detail", "error_message")


class Answered(Protocol):
    """A provider's answer that is an error."""

    status_code: int
    model_name: str
    body: object | None


def in_words(answer: Answered) -> str:
    """Return the sentence; what the provider itself says of it stands at its end."""
    why = _WHY.get(answer.status_code)
    words = f"the provider of {answer.model_name} answered {answer.status_code}"
    if why:
        words += f" ({why})"
    said = _said(answer.body)
    return f"{words}: {said}" if said else words


def _said(body: object) -> str:
    """Return the provider's own sentence in an error's body, whatever shape that has."""
    for _ in range(8):
        if isinstance(body, str):
            return body
        if isinstance(body, dict):
            body = next((body[key] for key in _KEYS if body.get(key)), None)
        elif isinstance(body, list):
            body = next(iter(body), None)
        else:
            break
    return ""

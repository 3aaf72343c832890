"""Text from models, tools and people, made storable and bounded."""


def storable(text: str) -> str:
    """Return `text` as it is, or with what has no UTF-8 form (lone surrogates) replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def clipped(text: str, max_bytes: int) -> tuple[str, bool]:
    """Return storable `text` within `max_bytes` of UTF-8, and whether it was cut to fit."""
    text = storable(text)
    if len(text) <= max_bytes // 4:
        return text, False
    data = text.encode()
    if len(data) <= max_bytes:
        return text, False
    return data[:max_bytes].decode(errors="ignore"), True

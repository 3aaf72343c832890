"""A pairing code: who says it first, within its time and tries, is let in. Sans-I/O."""

import hmac
import re
from dataclasses import dataclass
from enum import Enum

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""No two of its characters look alike; one byte picks each without a bias."""
CODE_CHARS = 8
_CODE = re.compile(rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}")
_WORDS = 16


class State(Enum):
    """Where an offer stands."""

    OPEN = "open"
    TAKEN = "taken"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


_MOVES = {State.OPEN: {State.TAKEN, State.EXPIRED, State.EXHAUSTED}}


class Heard(Enum):
    """What a text of a stranger was to an offer."""

    NOTHING = "nothing"
    """No code stands in it."""
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(slots=True)
class Offer:
    """A code that lets in one sender, until monotonic time `until`, while there are tries."""

    code: str
    until: float
    tries: int
    state: State = State.OPEN

    def hear(self, text: str, now: float) -> Heard:
        """Return what `text` is. Ordinary words use up no try: only what is written like a code."""
        said = spoken_code(text)
        if not self.open(now) or said is None:
            return Heard.NOTHING
        if hmac.compare_digest(said, self.code):
            self._transition(State.TAKEN)
            return Heard.RIGHT
        self.tries -= 1
        if self.tries <= 0:
            self._transition(State.EXHAUSTED)
        return Heard.WRONG

    def open(self, now: float) -> bool:
        """Return whether the code still lets anybody in."""
        if self.state is State.OPEN and now >= self.until:
            self._transition(State.EXPIRED)
        return self.state is State.OPEN

    def _transition(self, to: State) -> None:
        if to not in _MOVES.get(self.state, ()):
            raise AssertionError(f"an offer goes from {self.state} to {to}")
        self.state = to


def new_code(random: bytes) -> str:
    """Return the code that the first bytes of `random` make."""
    text = "".join(ALPHABET[byte % len(ALPHABET)] for byte in random[:CODE_CHARS])
    return f"{text[:4]}-{text[4:]}"


def spoken_code(text: str) -> str | None:
    """Return the first word of `text` that is written like a code, in capitals."""
    for word in text.split(None, _WORDS)[:_WORDS]:
        if len(word) == CODE_CHARS + 1 and _CODE.fullmatch(word.upper()):
            return word.upper()
    return None

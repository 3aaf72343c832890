"""Which message of a session answers which question. Sans-I/O; `now` is monotonic seconds.

    state     meaning                                            left for
    OPEN      asked; the answer has not come                     ANSWERED, LATE
    ANSWERED  one message came with its number                   (none)
    LATE      nothing came in time, or nothing waits any more    (none)

A question is a message that left with the session's next number in it, or with a text that ends
with it. The first message that brings the same back answers it. What else comes at the same place
answers nothing: it is delivered as any message is, and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from math import inf
from typing import Any, Final

from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer

_ABSENT: Final = object()
_NUMERALS: Final = "0123456789"
_MOST_DIGITS: Final = 16
"""Of 2**53 - 1, the last number of a session."""


class QuestionState(StrEnum):
    """See the module docstring."""

    OPEN = "open"
    ANSWERED = "answered"
    LATE = "late"


class Stray(Enum):
    """What a value is that stands where an answer has its number, and answers nothing."""

    REPEATED = "repeated"
    """Its question has been answered: a second answer, or the events of a subscription."""
    LATE = "late"
    """Its question waits no longer."""
    UNKNOWN = "unknown"
    """The session never had this number: other text, a fraction, one that is too large."""


_NEXT: dict[QuestionState, frozenset[QuestionState]] = {
    QuestionState.OPEN: frozenset({QuestionState.ANSWERED, QuestionState.LATE}),
    QuestionState.ANSWERED: frozenset(),
    QuestionState.LATE: frozenset(),
}


@dataclass(slots=True)
class _Question:
    id: str
    at: JsonPointer
    number: int | str
    until: float
    """When it is late; once it has ended, when it is forgotten."""
    state: QuestionState = field(default=QuestionState.OPEN, init=False)


class Questions:
    """The questions of one session."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._open: dict[str, _Question] = {}
        self._by_number: dict[tuple[JsonPointer, int | str], _Question] = {}
        self._due = inf  # when the next one is late or forgotten
        self.places: tuple[JsonPointer, ...] = ()
        """Where messages are looked at for numbers; none while nothing was asked of late."""

    @property
    def open(self) -> tuple[str, ...]:
        """Return the ids of the questions that wait for their answer."""
        return tuple(self._open)

    def require_room(self, at: JsonPointer, now: float) -> None:
        """Raise ConnectionFailure (`connection.questions`) where no more may be asked at `at`."""
        self._pass(now)
        if at not in self.places and len(self.places) >= self._limits.question_places:
            raise ConnectionFailure(
                "connection.questions",
                f"answers are looked for at {self._limits.question_places} places of the session "
                "already",
            )
        if len(self._open) >= self._limits.questions_per_session:
            raise ConnectionFailure(
                "connection.questions",
                f"{self._limits.questions_per_session} questions of the session wait already",
            )

    def asked(self, question: str, at: JsonPointer, number: int | str, now: float) -> None:
        """Wait for a message with `number` at `at`: the answer to `question`, which has left.

        An open question of the same id is given up.
        """
        self.give_up(question, now)
        made = _Question(question, at, number, now + self._limits.question_ms / 1000)
        self._open[question] = self._by_number[at, number] = made
        self._due = min(self._due, made.until)
        if at not in self.places:
            self.places = (*self.places, at)

    def answered(
        self, found: Mapping[JsonPointer, Any], drawn: int, now: float
    ) -> str | Stray | None:
        """Return the question that a message answers, which holds `found` at its places.

        `drawn` is the last number that the session has given out. None: the message has no number,
        or that of something that was no question.
        """
        self._pass(now)
        stray: Stray | None = None
        for at in self.places:
            value = found.get(at, _ABSENT)
            if value is _ABSENT or value is None:
                continue
            number = value if isinstance(value, str) else _whole(value)
            question = None if number is None else self._by_number.get((at, number))
            if question is None:
                if not self._was_drawn(at, number, drawn):
                    stray = Stray.UNKNOWN
            elif question.state is QuestionState.OPEN:
                self._end(question, QuestionState.ANSWERED, now)
                return question.id
            else:
                late = question.state is QuestionState.LATE
                stray = Stray.LATE if late else Stray.REPEATED
        return stray

    def give_up(self, question: str, now: float) -> None:
        """Nothing waits for the answer to `question` any more, where it is open."""
        found = self._open.get(question)
        if found is not None:
            self._end(found, QuestionState.LATE, now)

    def give_up_all(self, now: float) -> None:
        """Nothing waits for any answer any more."""
        for question in self.open:
            self.give_up(question, now)

    def _pass(self, now: float) -> None:
        """Let questions be late, and forget those that ended long ago."""
        if now < self._due:
            return
        for question in [one for one in self._open.values() if one.until <= now]:
            self._end(question, QuestionState.LATE, now)
        # They end in order, and each is remembered for the same time.
        for key, question in tuple(self._by_number.items()):
            if question.state is not QuestionState.OPEN and question.until <= now:
                self._forget(key)
        self._due = min((one.until for one in self._by_number.values()), default=inf)

    def _end(self, question: _Question, to: QuestionState, now: float) -> None:
        _transition(question, to)
        question.until = now + self._limits.question_memory_ms / 1000
        self._due = min(self._due, question.until)
        del self._open[question.id]
        # The newest of those that have ended stands last.
        key = question.at, question.number
        self._by_number[key] = self._by_number.pop(key)
        if len(self._by_number) - len(self._open) > self._limits.questions_remembered:
            ended = (k for k, q in self._by_number.items() if q.state is not QuestionState.OPEN)
            self._forget(next(ended))

    def _was_drawn(self, at: JsonPointer, value: int | str | None, drawn: int) -> bool:
        """Return whether `value` is a number of the session, as the questions at `at` write it."""
        if not isinstance(value, str):
            return value is not None and 1 <= value <= drawn
        before = value.rstrip(_NUMERALS)
        digits = value[len(before) :]
        if not 1 <= len(digits) <= _MOST_DIGITS or not 1 <= int(digits) <= drawn:
            return False
        asked = (key for place, key in self._by_number if place == at and isinstance(key, str))
        return any(text.rstrip(_NUMERALS) == before for text in asked)

    def _forget(self, key: tuple[JsonPointer, int | str]) -> None:
        del self._by_number[key]
        if not any(at == key[0] for at, _ in self._by_number):
            self.places = tuple(at for at in self.places if at != key[0])


def _whole(value: object) -> int | None:
    """Return the whole number that `value` is, as JSON counts: 1.0 is 1, true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None


def _transition(question: _Question, to: QuestionState) -> None:
    if to not in _NEXT[question.state]:
        raise YoiError("usage.internal", f"a question that is {question.state} cannot become {to}")
    question.state = to

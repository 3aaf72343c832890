"""Which session is the current one, which the old one, and which of them an effect reaches."""

from types import SimpleNamespace
from typing import Any

import pytest

from yoi.connections.session_pair import SessionPair
from yoi.core.session_effects import (
    AbortOld,
    CloseCurrent,
    CloseOld,
    DropCurrent,
    PauseReading,
    ResumeReading,
    SendPing,
)


class FakeSession:
    """A session that notes what is done to it and to its socket."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.sendable = False
        self.done: list[Any] = []
        note = self.done.append
        self.socket = SimpleNamespace(
            ping=lambda: note("ping"),
            close=lambda code, reason: note(("close", code)),
            drop=lambda code, reason: note(("drop", code)),
            abort=lambda: note("abort"),
        )

    def begin(self, session: str) -> None:
        self.id, self.sendable = session, True

    def shut(self) -> None:
        self.sendable = False

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")


def with_session(pair: Any, name: str) -> FakeSession:
    session = FakeSession()
    pair.arrive(session)
    pair.announce(name)
    return session


@pytest.fixture
def pair() -> Any:
    return SessionPair()


def test_a_session_is_found_once_it_is_announced(pair):
    session = FakeSession()
    pair.arrive(session)
    assert pair.all() == []
    assert pair.sendable(None) is None
    pair.announce("a")
    assert pair.sendable(None) is pair.sendable("a") is session
    assert pair.sendable("b") is None


def test_the_old_session_is_found_by_its_name_only(pair):
    old = with_session(pair, "a")
    pair.hand_over()
    assert pair.sendable(None) is None
    new = with_session(pair, "b")
    assert pair.all() == [old, new]
    assert (pair.sendable("a"), pair.sendable("b"), pair.sendable(None)) == (old, new, new)


def test_effects_reach_the_session_that_they_name(pair):
    old = with_session(pair, "a")
    pair.hand_over()
    new = with_session(pair, "b")
    for effect in (PauseReading(), ResumeReading(), SendPing(), CloseOld(1000, "x"), AbortOld()):
        pair.carry_out(effect)
    pair.carry_out(DropCurrent(1008, "y"))
    assert old.done == ["pause", "resume", ("close", 1000), "abort"]
    assert new.done == ["pause", "resume", "ping", ("drop", 1008)]
    assert not old.sendable
    assert not new.sendable


def test_an_effect_without_its_session_does_nothing(pair):
    for effect in (SendPing(), CloseCurrent(1000, ""), CloseOld(1000, ""), PauseReading()):
        pair.carry_out(effect)
    assert pair.all() == []

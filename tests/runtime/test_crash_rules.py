"""D1-D6: each rule of the service log's design, over lives that were killed at each point.

The points are a generated list (tests/runtime/crash_points.py). A test has the name of its rule.
"""

import asyncio
import functools
import random
from collections import Counter
from itertools import pairwise

import pytest
from tests.runtime.crash_points import Kill, Setting, history, points

from yoi.core.service_fold import ServiceFold
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.service_log import Dead, Handled, Opened, Tried

SETTINGS = {
    "memory": (Setting(split=True), 1),
    "memory, whole turns": (Setting(), 3),
    "memory, checkpoints": (Setting(split=True, checkpoints=True), 3),
    "sqlite": (Setting("sqlite"), 6),
}
"""What is crashed, and each how manieth of its points."""
TWICE = 40
"""How many lives are killed whose next life is killed too."""


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    """Return what happened where a life was killed at each point, with where that was."""
    return _histories(tmp_path_factory.mktemp("crashes"))


@functools.cache
def _histories(folder):
    async def all_of_them():
        found, rng = [], random.Random(13)
        for name, (setting, each) in SETTINGS.items():
            names = await points(setting, folder)
            assert len(names) > 80, "a life has many points"
            for at in range(0, len(names), each):
                where = f"{name}, killed before {at}: {names[at]}"
                found.append((where, await history(setting, folder, Kill(at))))
        names = await points(Setting(split=True), folder)
        for _ in range(TWICE):
            first, second = rng.randrange(len(names)), rng.randrange(30)
            where = f"killed before {first} ({names[first]}), and then before {second}"
            kills = Kill(first), Kill(second)
            found.append((where, await history(Setting(split=True), folder, *kills)))
        return found

    return asyncio.run(all_of_them())


def word(text):
    return text.split('"')[3].split("-")[0]


def told(far):
    """Return what the plugins heard of commands that came to nothing, or may have: id and code."""
    found = []
    for _, event, _, _ in far.handed:
        if event.kind in (EventKind.SEND_FAILED, EventKind.DENIED):
            found.append((event.payload["command_id"], event.payload["code"]))
        elif event.kind == EventKind.RESPONSE:
            error = event.payload.get("error", {})
            found.append((event.payload["command_id"], error.get("code", "ok")))
    return found


def test_acceptance(histories):
    """What was accepted is handled once or a dead letter, in order; nothing precedes its record."""
    for where, far in histories:
        assert far.early == [], where
        dead = [one.event_id for one in far.entries if isinstance(one, Dead)]
        over = Counter([*far.handled, *dead])
        waiting = folded(far).waiting  # for the next host: how the last session ended
        for name in far.accepted:
            assert over[name] == (name not in waiting), (where, name)
        order = list(far.frames)
        ends = [e.event_id for e in far.entries if isinstance(e, Handled | Dead)]
        assert [name for name in ends if name in far.frames] == order, where


def folded(far):
    fold = ServiceFold("echo")
    for position, entry in enumerate(far.entries, 1):
        fold.take(position, entry)
    return fold.picture


def test_effects(histories):
    """Sent at most once or told; a worker once by identity; requests as their targets say."""
    for where, far in histories:
        codes = dict(told(far))
        assert len(set(far.sent)) == len(far.sent), where
        asked = Counter(far.asked)
        for entry in far.entries:
            if not isinstance(entry, Handled):
                continue
            for command in entry.commands:
                about = where, command
                match command.kind:
                    case "websocket_send" if entry.event_id in far.sent:
                        assert codes.get(command.id) in (None, "service.effect_unknown"), about
                    case "websocket_send":
                        assert command.id in codes, about
                    case "notify":
                        assert far.notified[entry.event_id, command.id] >= 1, about
                    case "request":
                        target = command.payload["target"]
                        once = target == "once"
                        assert asked[command.id] <= 1 if once else asked[command.id] >= 1, about
                        ends = {"ok", "service.effect_unknown"} if once else {"ok"}
                        assert codes[command.id] in ends, about
        assert not folded(far).unsettled, where
        # In handled order, for the connection and for the worker, over all lives.
        order = {name: at for at, name in enumerate(far.handled)}
        for line in (far.sent, [event for event, _ in far.notified]):
            places = [order[name] for name in line]
            assert places == sorted(places), where


def test_state(histories):
    """State is as of the last handled event, whichever host set it."""
    for where, far in histories:
        expected = {}
        for entry in far.entries:
            if isinstance(entry, Handled):
                expected.update(entry.state)
        assert dict(far.state.all("echo")) == expected, where
        words = {far.frames[name].split('"')[3] for name in far.handled if name in far.frames}
        plain = {one for one in words if one.split("-")[0] in ("plain", "flaky", "both")}
        assert set(expected) == plain, where


def test_first_tries_are_free(histories):
    """What a host's end has interrupted is a further attempt, and never a dead letter for that."""
    for where, far in histories:
        dead = {far.frames[d.event_id] for d in far.entries if isinstance(d, Dead)}
        assert all(word(text) == "fail" for text in dead), where
        first = {}
        for life, event, attempt, _ in far.handed:
            name = event.event_id
            if not isinstance(event, TextFrame):
                continue
            if name in first and first[name][0] != life:
                assert attempt > first[name][1], (where, name)
                assert any(
                    isinstance(e, Tried) and (e.event_id, e.attempt) == (name, attempt)
                    for e in far.entries
                ), (where, name)
            first[name] = life, attempt


def test_answers_and_timers(histories):
    """Each timer that was set fires once; each answer that was accepted is handed over."""
    for where, far in histories:
        fired = [one for one in far.accepted.values() if one.fires]
        handled = [far.frames[name] for name in far.handled if name in far.frames]
        assert len(fired) == sum(word(text) == "timer" for text in handled), where
        heard = {event.event_id for _, event, _, _ in far.handed}
        for one in far.accepted.values():
            if one.fires or one.settles:
                assert one.event_id in heard, (where, one)
        assert folded(far).timers == {}, where


def test_started_event(histories):
    """An instance's first event is that it has started, and no log has it."""
    for where, far in histories:
        lives = {}
        for life, event, _, _ in far.handed:
            lives.setdefault(life, event.kind)
        assert set(lives.values()) == {EventKind.STARTED}, where
        kinds = [one.event.kind for one in far.accepted.values() if one.event]
        assert EventKind.STARTED not in kinds, where


def test_a_session_s_close_waits_for_its_frames(histories):
    """Frames, close, gap: also where the host has told neither."""
    for where, far in histories:
        events = list(far.accepted.values())
        opened = [e.session for e in far.entries if isinstance(e, Opened)]
        for session in dict.fromkeys(opened):
            ends = [
                at
                for at, one in enumerate(events)
                if one.event
                and one.event.kind == EventKind.CLOSE
                and one.event.payload["session"] == session
            ]
            frames = [
                at for at, one in enumerate(events) if one.frame and one.frame.session == session
            ]
            assert len(ends) >= 1, (where, session)
            assert all(at < ends[0] for at in frames), (where, session)


def test_redelivery_by_gateways(histories):
    """A message is marked exactly where one with its id was accepted before."""
    for where, far in histories:
        came = set()
        for one in far.accepted.values():
            if one.frame:
                assert one.duplicate is (one.frame.text in came), (where, one)
                came.add(one.frame.text)
        marks = {event.event_id: mark for _, event, _, mark in far.handed}
        for name, one in far.accepted.items():
            if one.frame:
                assert marks[name] is one.duplicate, (where, name)


def test_gaps_cover_what_a_host_was_not_there_for(histories):
    """Acceptance: from a session's end, or the host's last mark, to the next session."""
    for where, far in histories:
        gaps = [
            (one.event.payload["since_ms"], one.event.payload["until_ms"])
            for one in far.accepted.values()
            if one.event and one.event.kind == EventKind.GAP
        ]
        opened = [one for one in far.entries if isinstance(one, Opened)]
        for one, later in pairwise(opened):
            if later.at_ms > one.at_ms:
                assert any(since <= one.at_ms and until >= later.at_ms for since, until in gaps), (
                    where,
                    one,
                    later,
                    gaps,
                )

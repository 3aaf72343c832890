"""A client of `make cluster` sees every silent gap, and none where something was said."""

import pytest

from takeovers.watching import Watcher

RESYNC = {"kind": "diagnostic", "diagnostic": {"action": "resync", "code": "backend.resync"}}


def event(name):
    return {"kind": "event", "envelope": {"event_id": name, "cursor": f"c{name}"}}


def heard(*frames):
    watcher = Watcher("/x")
    for frame in (event("a-4.s"), event("a-5"), *frames):
        watcher.take(frame)
    return watcher


@pytest.mark.parametrize(
    "frames",
    [
        [event("a-6")],
        [event("a-5"), event("a-6")],
        [{"kind": "resumed", "cursor": "c"}, event("a-6")],
        [{"kind": "bookmark", "cursor": "c", "up_to_date": True}, event("a-6")],
        [RESYNC, event("b-1.s"), event("b-2")],
        [RESYNC, event("a-9.s"), event("a-10")],
    ],
)
def test_what_follows_is_no_gap(frames):
    assert not heard(*frames).silent_gaps


@pytest.mark.parametrize(
    "frames",
    [
        [event("a-7")],
        [event("b-6")],
        [event("b-1.s")],
        [RESYNC, event("a-7")],
        [RESYNC, event("b-1.s"), event("b-1.s")],
    ],
)
def test_what_does_not_follow_is_a_silent_gap(frames):
    watcher = heard(*frames)
    assert watcher.silent_gaps == 1
    assert watcher.events + watcher.snapshots == 2 + sum(one is not RESYNC for one in frames)

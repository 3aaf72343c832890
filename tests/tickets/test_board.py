"""What the board says: each change of the files once, whoever made it, half-written ones later."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yoi.core.observation import BoardView
from yoi.core.ticket_states import TicketState
from yoi.errors import TicketError, TrustError
from yoi.limits import LIMITS
from yoi.protocol.board_events import (
    BoardCounted,
    ThreadAdded,
    TicketChanged,
    TicketGone,
    encode_board_event,
)
from yoi.testing.clock import ManualClock
from yoi.tickets.board import BoardReader
from yoi.tickets.ids import id_of_ms
from yoi.tickets.store import TicketStore

from .conftest import ME

BODY = "# What\n\n## Acceptance\n\n- it works\n"


@pytest.fixture
def reader(store):
    return BoardReader(store, dict, LIMITS)


def said(events):
    """Return what was said, short."""
    short = []
    for one in events:
        match one:
            case TicketChanged(data):
                short.append(("item", data.state or "damaged"))
            case ThreadAdded(data):
                short.append((data.kind, data.number))
            case _:
                short.append(type(one).__name__)
    return short


def test_each_change_is_said_once_in_its_order(store, reader):
    assert reader.look() == []
    item = store.new("A", BODY, ME, "bob")
    assert said(reader.look()) == [("item", "planning"), ("create", 1)]
    assert reader.look() == []
    store.comment(item.id, "hello", ME)
    comment, changed = reader.look()
    assert (comment.data.author, comment.data.text) == ("ada", "## Comment\n\nhello")
    assert (changed.data.events, changed.data.assignee) == (2, "bob")
    store.move(item.id, TicketState.READY, ME, reason="r")
    moved, changed = reader.look()
    assert (moved.data.step, changed.data.state) == ("planning -> ready", "ready")
    path = store.root / item.id / "thread.md"
    path.write_text(path.read_text() + "by hand\n")  # to the last event's text
    assert said(reader.look()) == [("state_changed", 3)]
    (path.parent / "item.md").unlink()
    assert reader.look() == []  # it may be on its way
    assert said(reader.look()) == [("item", "damaged")]
    path.parent.rename(store.root.parent / "elsewhere")
    assert said(reader.look()) == ["TicketGone"]


def test_what_a_thread_said_is_not_changed_unseen(store, reader):
    """I3: an edit of what stood there is told, also one that an editor makes by writing anew."""
    item = store.new("A", BODY, ME)
    for number in range(30):
        store.comment(item.id, f"c {number}", ME)
    first = said(reader.look())
    assert first[:2] == [("item", "planning"), ("comment", 12)]
    path = store.root / item.id / "thread.md"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert reader.look() == []
    path.write_text(whole + "<!-- event: note author: ed -->\n")
    assert said(reader.look()) == [("note", 32), ("item", "planning")]
    path.write_text(path.read_text().replace("c 25", "C 25"))
    assert reader.look() == []
    found = reader.look()
    assert said(found)[:2] == ["ThreadRewritten", ("comment", 13)]
    assert sum("C 25" in one.data.text for one in found if isinstance(one, ThreadAdded)) == 1
    path.write_bytes(b"\xff")
    reader.look()
    path.write_text("<!-- event: a author: b -->\n```\n")
    reader.look()
    found = reader.look()
    assert found[-1].data.thread_damage.startswith("thread.md, line 2")


def test_queued_by_a_file_alone_is_said_also_when_only_the_decision_changes(store):
    decided = {}
    reader = BoardReader(store, lambda: decided, LIMITS)
    item = store.new("A", BODY, ME)
    for to in (TicketState.READY, TicketState.QUEUED):
        item = store.move(item.id, to, ME, reason="r")
    assert reader.look()[0].data.undecided
    decided[item.id] = item.digest
    (changed,) = reader.look()
    assert not changed.data.undecided

    def refuses():
        raise TrustError("trust.damaged", "cannot be read")

    reader._queued = refuses
    assert reader.look()[0].data.undecided
    reader._queued = lambda: None  # the files' word counts
    assert not reader.look()[0].data.undecided


def test_what_is_odd_is_shown_within_bounds(store, tmp_path):
    few = replace(LIMITS, board_items=3, board_text_bytes=8)
    reader = BoardReader(TicketStore(tmp_path, ManualClock(), few), dict, few)
    for ms in range(3):
        folder = store.root / id_of_ms(ms + 1)
        folder.mkdir(parents=True)
        (folder / "item.md").write_text("---\ntitle: &a x\n---\n")
    for name in ("\x1b[2J", "zzz"):
        (store.root / name).mkdir()
    item = store.new("A", BODY, ME)
    store.comment(item.id, "\u20ac" * 99, ME)
    found = reader.look()
    assert found[0] == BoardCounted(found[0].data)
    assert found[0].data.left_out == 3
    rows = {one.data.id: one.data for one in found if isinstance(one, TicketChanged)}
    assert set(rows) == {id_of_ms(2), id_of_ms(3), item.id}
    assert "anchors" in rows[id_of_ms(3)].damage
    text = next(one.data for one in found if said([one]) == [("comment", 2)])
    assert (text.text, text.cut) == ("## Comme", True)
    for name in (item.id, id_of_ms(1), id_of_ms(2), "zzz"):
        (store.root / name).rename(tmp_path / name)
    gone = [BoardCounted, TicketGone, TicketGone, TicketChanged]
    found = reader.look()
    assert [type(one) for one in found] == gone
    assert (found[-1].data.id, found[-1].data.state) == ("\\x1b[2J", "")


STEPS = ["new", "comment", "ready", "planning", "title", "append", "rewrite", "cut", "drop", "look"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2)), max_size=14))
def test_what_was_told_adds_up_to_what_the_files_say(tmp_path_factory, steps):
    """Two processes and an editor change files in any order, with looks between."""
    root = tmp_path_factory.mktemp("ws")
    stores = [TicketStore(root, ManualClock(), LIMITS) for _ in range(2)]
    reader, view = BoardReader(stores[0], dict, LIMITS), BoardView()
    for number, (step, which) in enumerate(steps):
        store = stores[which % 2]
        names = store.names()
        if step == "look":
            for event in reader.look():
                view.apply(event)
        elif step == "new" or which >= len(names):
            store.new(f"t {number}", BODY, ME)
        else:
            _change(store, names[which], step, number)
    for _ in range(2):  # what may be half written is told at the second look
        for event in reader.look():
            view.apply(event)
    assert reader.look() == []
    fresh = BoardView()
    for event in BoardReader(stores[1], dict, LIMITS).look():
        fresh.apply(event)
    assert shown(view) == shown(fresh)


def _change(store, name, step, number):
    thread = store.root / name / "thread.md"
    try:
        match step:
            case "comment":
                store.comment(name, f"c {number}", ME)
            case "ready" | "planning":
                store.move(name, TicketState(step), ME, reason="r")
            case "title":
                store.edit(name, ME, changes={"title": f"n {number}"}, body=None)
            case "append":
                thread.write_text(f"{thread.read_text()}<!-- event: note author: ed -->\n{number}")
            case "rewrite":
                thread.write_text(thread.read_text().replace("ada", "eve", 1))
            case "cut":
                thread.write_text(thread.read_text()[:-20])
            case "drop":
                (store.root / name).rename(store.root.parent / f"gone-{number}")
    except TicketError as exc:
        if exc.code != "ticket.transition":
            raise


def shown(view):
    data = json.loads(encode_board_event(view.snapshot()))["data"]
    items = sorted(data["items"], key=lambda one: one["id"])
    return items, sorted(data["entries"], key=lambda one: (one["ticket"], one["number"]))

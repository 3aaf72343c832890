"""The store: changes as events, conditions under a lock, files made by others (I1 to I5)."""

import itertools
import json
import multiprocessing
import os
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yoi.core.ticket_states import TicketState, Verdict
from yoi.errors import TicketError
from yoi.limits import LIMITS
from yoi.testing.clock import ManualClock
from yoi.tickets import files
from yoi.tickets.doctor import examine
from yoi.tickets.ids import id_of_ms, parse_id
from yoi.tickets.store import Change, TicketStore
from yoi.tickets.ticket import Damaged, Ticket

from .conftest import CORPUS, ME

CLOSED = TicketState.CLOSED
BODY = "# What\n\n## Acceptance\n\n- it works\n"


def in_force(ticket):
    return False


def refused(code, call):
    with pytest.raises(TicketError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


def test_ids_are_milliseconds_in_order():
    assert id_of_ms(0) == "0" * 13
    assert id_of_ms(1_783_000_000_000) < id_of_ms(1_783_000_000_001)
    for wrong in ("", "../etc/passwd", "00001KSKBP9YU", "00001kskbp9yg", "0" * 14, "0000/KSKBP9YG"):
        refused("ticket.id", lambda wrong=wrong: parse_id(wrong))


def test_the_life_of_an_item(store):
    item = store.new("Mend  the\tdoor", BODY, ME, "bob")
    assert (item.title, item.state, item.has_acceptance) == ("Mend the door", "planning", True)
    assert examine(store, in_force) == []
    folder = store.root / item.id
    assert sorted(p.name for p in folder.iterdir()) == ["artifacts", "item.md", "thread.md"]
    store.comment(item.id, "hello", ME)
    store.review(item.id, Verdict.APPROVE, "fine", Change("rev", ME.at))
    item = store.edit(item.id, ME, changes={"title": "New"}, body=BODY + "more\n")
    assert item.title == "New"
    assert item.body.endswith("more\n")
    for to in ("ready", "queued", "inprogress", "done"):
        item = store.move(item.id, TicketState(to), ME, reason="r")
    assert item.text("queued_by") == "ada"
    assert "resolution" in refused(
        "ticket.transition", lambda: store.move(item.id, TicketState.CLOSED, ME, reason="r")
    )
    store.move(item.id, TicketState.CLOSED, ME, reason="ok", resolution="It is done.")
    assert store.resolution(item.id) == "It is done.\n"
    thread = store.thread(item.id)
    assert thread.damage == ()
    assert thread.state == "closed"
    assert [e.kind for e in thread.events] == [
        "create", "comment", "review", "item_edit", *["state_changed"] * 5,
    ]  # fmt: skip
    moved = thread.events[4]
    assert {k: moved.attributes[k] for k in ("author", "from", "to", "reason", "field")} == {
        "author": "ada", "from": "planning", "to": "ready", "reason": "r", "field": "state",
    }  # fmt: skip
    assert examine(store, in_force) == []


def test_a_refused_change_changes_nothing(store):
    item = store.new("A", "no criteria", ME)
    before = {p: p.read_bytes() for p in store.root.rglob("*") if p.is_file()}
    calls = [
        ("ticket.transition", lambda: store.move(item.id, TicketState.READY, ME, reason="r")),
        ("ticket.value", lambda: store.edit(item.id, ME, changes={"state": "done"}, body=None)),
        ("ticket.value", lambda: store.edit(item.id, ME, changes={"title": " "}, body=None)),
        ("ticket.value", lambda: store.edit(item.id, ME, changes={"x": "a\nb"}, body=None)),
        ("ticket.value", lambda: store.comment(item.id, " \n", ME)),
        ("ticket.value", lambda: store.relate(item.id, "hates", id_of_ms(1), "", ME)),
        ("ticket.value", lambda: store.relate(item.id, "related", item.id, "", ME)),
        ("ticket.id", lambda: store.relate(item.id, "related", "x", "", ME)),
        ("ticket.unknown", lambda: store.comment(id_of_ms(1), "x", ME)),
        ("ticket.too_large", lambda: store.comment(item.id, "x" * 300_000, ME)),
        ("ticket.value", lambda: store.comment(item.id, "x", Change("a\nb", "now"))),
        ("ticket.value", lambda: store.comment(item.id, "\udcff", ME)),
        ("ticket.value", lambda: store.new("A", "\udcff", ME)),
        ("ticket.value", lambda: store.new("A", "b", Change("a\nb", "now"))),
        ("ticket.too_large", lambda: store.new("A", "x" * 2_000_000, ME)),
        ("ticket.value", lambda: store.edit(item.id, ME, changes={}, body="\udcff")),
        ("ticket.value", lambda: store.relate(item.id, "related", id_of_ms(1), "\udcff", ME)),
        ("ticket.value", lambda: store.move(item.id, CLOSED, ME, reason="a\nb", resolution="x")),
        ("ticket.value", lambda: store.move(item.id, CLOSED, ME, reason="r", resolution="\udcff")),
    ]
    for code, call in calls:
        refused(code, call)
    assert {p: p.read_bytes() for p in store.root.rglob("*") if p.is_file()} == before


def test_dependencies_block_and_make_no_circle(store):
    one, two, three = (store.new(name, BODY, ME) for name in "abc")
    store.relate(one.id, "depends_on", two.id, "why", ME)
    store.relate(two.id, "depends_on", three.id, "", ME)
    store.relate(one.id, "related", id_of_ms(5), "", ME)
    assert "cycle" in refused(
        "ticket.cycle", lambda: store.relate(three.id, "depends_on", one.id, "", ME)
    )
    refused("ticket.conflict", lambda: store.relate(one.id, "depends_on", two.id, "", ME))
    found = store.relations(two.id)
    assert (found.depends_on, found.blocks) == ((three.id,), (one.id,))
    assert store.relations(id_of_ms(5)).related == (one.id,)
    for to in ("ready", "queued"):
        store.move(one.id, TicketState(to), ME, reason="r")
    assert two.id in refused(
        "ticket.transition", lambda: store.move(one.id, TicketState.INPROGRESS, ME, reason="r")
    )


def test_a_dependency_that_is_not_here_blocks_only_when_asked(store):
    item = store.new("a", BODY, ME)
    store.relate(item.id, "depends_on", id_of_ms(7), "", ME)
    for to in ("ready", "queued"):
        store.move(item.id, TicketState(to), ME, reason="r")
    refused(
        "ticket.transition",
        lambda: store.move(item.id, TicketState.INPROGRESS, ME, reason="r", unknown_blocks=True),
    )
    store.move(item.id, TicketState.INPROGRESS, ME, reason="r")


def test_the_corpus_is_listed_and_a_comment_changes_nothing_else(corpus):
    listing = corpus.listing()
    assert len(listing) == 41
    assert all(isinstance(one, Ticket) for one in listing)
    oddities = [one for one in examine(corpus, in_force) if one.what == "state"]
    assert sum("no event about" in one.message for one in oddities) == 7
    assert sum("the thread ends with" in one.message for one in oddities) == 2
    for one in listing:
        folder = corpus.root / one.id
        before = (folder / "thread.md").read_bytes()
        item = (folder / "item.md").read_bytes()
        corpus.comment(one.id, "seen", ME)
        assert (folder / "thread.md").read_bytes().startswith(before)
        assert (folder / "item.md").read_bytes() == item
        assert (CORPUS / one.id / "item.md").read_bytes() == item
        assert corpus.thread(one.id).events[-1].text == "## Comment\n\nseen"


@pytest.mark.parametrize(
    ("damage", "code", "line"),
    [
        (lambda f: (f / "item.md").unlink(), "ticket.unknown", None),
        (lambda f: (f / "item.md").write_bytes(b"---\ntitle: \xff\n---\n"), "ticket.utf8", 2),
        (lambda f: (f / "item.md").write_text("---\na: *x\n---\n"), "ticket.front_matter", 2),
        (lambda f: (f / "item.md").write_bytes(b"x" * (1 << 21)), "ticket.too_large", None),
        (lambda f: swap(f / "item.md", lambda p: p.symlink_to("/etc/passwd")), "ticket.file", None),
        (lambda f: swap(f / "item.md", os.mkfifo), "ticket.file", None),
        (lambda f: swap(f / "item.md", os.mkdir), "ticket.file", None),
    ],
)
def test_a_damaged_item_is_listed_as_damaged_with_its_line(store, damage, code, line):
    good = store.new("good", BODY, ME)
    bad = store.new("bad", BODY, ME)
    damage(store.root / bad.id)
    found = {one.name if isinstance(one, Damaged) else one.id: one for one in store.listing()}
    assert isinstance(found[good.id], Ticket)
    assert (found[bad.id].code, found[bad.id].line) == (code, line)
    assert [one.what for one in examine(store, in_force) if one.ticket == bad.id] == ["damaged"]


def swap(path, make):
    path.unlink()
    make(path)


def test_a_link_or_a_strange_name_is_no_item(store, tmp_path):
    store.new("good", BODY, ME)
    (store.root / "not an id").mkdir()
    (store.root / "README.md").write_text("what these are")
    (store.root / id_of_ms(9)).symlink_to(tmp_path)
    (store.root / id_of_ms(10)).write_text("a file")
    (tmp_path / "relations.json").write_text('{"version": 1, "relations": []}')
    linked = store.new("leads elsewhere", BODY, ME)
    artifacts = store.root / linked.id / "artifacts"
    artifacts.rmdir()
    artifacts.symlink_to(tmp_path)
    for call in (
        lambda: store.artifacts(linked.id),
        lambda: store.own_relations(linked.id),
        lambda: store.relate(linked.id, "related", id_of_ms(1), "", ME),
    ):
        refused("ticket.file", call)
    assert len(store.thread(linked.id).events) == 1
    assert (tmp_path / "relations.json").read_text() == '{"version": 1, "relations": []}'
    codes = {one.name: one.code for one in store.listing() if isinstance(one, Damaged)}
    assert codes == {
        "not an id": "ticket.id",
        id_of_ms(9): "ticket.file",
        id_of_ms(10): "ticket.file",
    }


def test_nothing_is_added_behind_an_open_code_block(store):
    item = store.new("a", BODY, ME)
    path = store.root / item.id / "thread.md"
    path.write_text(path.read_text() + "\n```\nopen\n")
    before = path.read_bytes()
    refused("ticket.thread", lambda: store.comment(item.id, "x", ME))
    withdrawn = []
    refused(
        "ticket.thread",
        lambda: store.move(
            item.id, CLOSED, ME, reason="r", resolution="x", before=withdrawn.append
        ),
    )
    assert path.read_bytes() == before
    assert (withdrawn, store.resolution(item.id)) == ([], "")


def test_doctor_reports_and_offers(store):
    item = store.new("a", BODY, ME)
    folder = store.root / item.id
    text = (folder / "item.md").read_text()
    (folder / "item.md").write_text(text.replace("'planning'", "'odd'"))
    thread = (folder / "thread.md").read_text()
    old = "<!-- event: x author: a at: 2020-01-01T00:00:00Z -->\n<!-- event: y author: a -->\n"
    (folder / "thread.md").write_text(thread + old)
    (folder / "artifacts/relations.json").write_text(
        json.dumps(
            {
                "version": 1,
                "relations": [
                    {"ticket_id": item.id, "kind": "odd", "target": "x"},
                    {"ticket_id": item.id, "kind": "depends_on", "target": id_of_ms(3)},
                ],
            }
        )
    )
    whats = [(one.what, one.line) for one in examine(store, in_force)]
    assert ("state", 3) in whats
    assert {what for what, _ in whats} == {"state", "time", "relation"}
    (folder / "artifacts/relations.json").write_text("{")
    whats = [(one.what, one.offer) for one in examine(store, lambda ticket: True)]
    assert ("damaged", "mend artifacts/relations.json") in whats
    assert ("queue", f"yoi ticket show {item.id}") in whats
    (folder / "thread.md").write_text("<!-- event: c -->\n<!-- event\n" * 5_000)
    found = examine(store, in_force)
    assert len(found) < 3 * LIMITS.ticket_damage  # a person reads it
    assert "so it is with 9900 more events" in [one.message for one in found]
    refused("ticket.relations", lambda: store.relate(item.id, "related", id_of_ms(4), "", ME))


def _work(root, name, seed, done):
    """Do random things to one item, as a process of its own; write down what succeeded."""
    store, rng, said = TicketStore(root, ManualClock(), LIMITS), random.Random(seed), []
    ticket = store.listing()[0].id
    me = Change(name, "2026-01-01T00:00:00Z")
    for number in range(8):
        kind = rng.choice(["comment", "title", "move"])
        to = rng.choice(list(TicketState))
        try:
            if kind == "comment":
                store.comment(ticket, f"{name} {number}", me)
                said.append(["comment", f"{name} {number}"])
            elif kind == "title":
                store.edit(ticket, me, changes={"title": f"{name} {number}"}, body=None)
                said.append(["item_edit", "Changed: title."])
            else:
                store.move(ticket, to, me, reason="r", text=f"{name} {number}", resolution="x")
                said.append(["state_changed", f"{name} {number}"])
        except TicketError as exc:
            if exc.code != "ticket.transition":
                raise
    done.write_text(json.dumps(said))


def test_two_processes_that_change_one_item_lose_nothing(store, tmp_path):
    """Every success of each stands in the thread, in its order; no reader sees half a file."""
    item = store.new("a", BODY, ME)
    context = multiprocessing.get_context("spawn")
    logs = {name: tmp_path / name for name in ("p", "q")}
    both = [
        context.Process(target=_work, args=(tmp_path, name, n, log))
        for n, (name, log) in enumerate(logs.items())
    ]
    for one in both:
        one.start()
    while any(one.is_alive() for one in both):
        assert store.thread(item.id).damage == ()
        assert isinstance(store.listing()[0], Ticket)
    for one in both:
        one.join()
        assert one.exitcode == 0
    thread = store.thread(item.id)
    for name, log in logs.items():
        said = json.loads(log.read_text())
        found = [
            [event.kind, event.text.rpartition("\n")[2]]
            for event in thread.events
            if event.author == name
        ]
        assert found == said
    assert thread.state in (None, store.ticket(item.id).state)
    steps = [one for one in thread.events if one.kind == "state_changed"]
    for before, after in itertools.pairwise(steps):
        assert before.attributes["to"] == after.attributes["from"]


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.sampled_from(["comment", "editor in place", "editor renames", "item edit"]), max_size=8
    )
)
def test_an_editor_between_our_reading_and_our_replacing(tmp_path_factory, monkeypatch, steps):
    """Whatever saves in that moment is kept, and our event with it."""
    root = tmp_path_factory.mktemp("ws")
    store = TicketStore(root, ManualClock(), LIMITS)
    item = store.new("a", BODY, ME)
    path = store.root / item.id / "thread.md"
    pending = []
    real = files._swapped

    def swapped(*change):
        while pending:
            pending.pop()()
        return real(*change)

    monkeypatch.setattr(files, "_swapped", swapped)
    wanted = ["## Created"]
    for number, step in enumerate(steps):
        line = f"by hand {number}"
        event = f"<!-- event: note author: ed at: x -->\n\n{line}\n"

        def in_place(event=event):
            path.write_text(path.read_text() + event)

        def by_rename(event=event):
            new = path.with_name("thread.md~")
            new.write_text(path.read_text() + event)
            new.rename(path)

        if step.startswith("editor"):
            pending.append(in_place if step == "editor in place" else by_rename)
            wanted.append(line)
            store.comment(item.id, f"c {number}", ME)
            wanted.append(f"## Comment\n\nc {number}")
        elif step == "comment":
            store.comment(item.id, f"c {number}", ME)
            wanted.append(f"## Comment\n\nc {number}")
        else:
            store.edit(item.id, ME, changes={"title": f"t {number}"}, body=None)
            wanted.append("## Item changed\n\nChanged: title.")
    assert [event.text for event in store.thread(item.id).events] == wanted
    assert store.thread(item.id).damage == ()
    assert sorted(p.name for p in path.parent.iterdir()) == ["artifacts", "item.md", "thread.md"]


def test_where_names_cannot_be_swapped_a_file_is_still_replaced_whole(store, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    item = store.new("a", BODY, ME)
    store.comment(item.id, "x", ME)
    assert len(store.thread(item.id).events) == 2


def test_a_file_that_changes_all_the_time_is_given_up(store, monkeypatch):
    item = store.new("a", BODY, ME)
    monkeypatch.setattr(files, "_swapped", lambda *_: False)
    refused("ticket.busy", lambda: store.comment(item.id, "x", ME))


@pytest.mark.parametrize("state", ["[queued]", "[]", "\n- queued"])
def test_a_state_that_is_a_list_is_shown_and_leads_nowhere(store, state):
    made = store.new("A", "# A\n", ME)
    item = store.root / made.id / "item.md"
    item.write_text(f"---\ntitle: A\nstate: {state}\n---\n")
    assert store.ticket(made.id).state.startswith("[")
    with pytest.raises(TicketError, match="none of"):
        store.move(made.id, TicketState.CLOSED, ME, reason="x", resolution="y")


def test_relations_of_thousands_are_read_once(store, monkeypatch):
    """A chain, a ring of three and an item that only leads to it; each file is opened once."""
    head, ring, names = id_of_ms(1), [id_of_ms(n) for n in (2, 3, 4)], []
    depends = {head: ring[0], **dict(zip(ring, ring[1:] + ring[:1], strict=True))}
    depends |= {id_of_ms(n): id_of_ms(n - 1) for n in range(11, 300)}
    for name in [*depends, id_of_ms(10)]:
        folder = store.root / name / "artifacts"
        folder.mkdir(parents=True)
        (folder.parent / "item.md").write_text("---\ntitle: A\nstate: ready\n---\n")
        rows = [{"ticket_id": name, "kind": "depends_on", "target": depends.get(name, head)}]
        (folder / "relations.json").write_text(json.dumps({"version": 1, "relations": rows}))
    real = store.own_relations
    monkeypatch.setattr(store, "own_relations", lambda name: names.append(name) or real(name))
    graph = store.graph()
    assert len(names) == len(set(names)) == 294
    assert graph.of(ring[1]).cycle == (ring[1], ring[2], ring[0], ring[1])
    assert graph.of(head).cycle == graph.of(id_of_ms(299)).cycle == ()
    assert graph.of(ring[0]).blocks == (head, ring[2])
    cycles = {one.ticket for one in examine(store, in_force) if one.what == "cycle"}
    assert cycles == set(ring)
    few = TicketStore(store.root.parents[1], ManualClock(), replace(LIMITS, ticket_relations_all=9))
    refused("ticket.bounds", few.graph)
    assert [one.what for one in examine(few, in_force)] == ["relation"]


def test_a_thread_of_20_mb_is_shown_and_added_to(store):
    item = store.new("A", BODY, ME)
    path = store.root / item.id / "thread.md"
    event = "<!-- event: note author: ed -->\n" + "a line of some length\n" * 9_000
    path.write_text(path.read_text() + event * (20_000_000 // len(event)))
    before = path.read_bytes()
    store.comment(item.id, "the last", ME)
    assert path.read_bytes().startswith(before)
    thread = store.thread(item.id, 2)
    assert [one.kind for one in thread.events] == ["note", "comment"]
    assert (thread.events[1].text, thread.left_out) == ("## Comment\n\nthe last", 100)
    few = TicketStore(store.root.parents[1], ManualClock(), replace(LIMITS, ticket_thread_bytes=99))
    refused("ticket.too_large", lambda: few.comment(item.id, "x", ME))


def test_a_state_is_read_from_the_head_alone(store):
    item = store.new("A", BODY, ME)
    path = store.root / item.id / "item.md"
    path.write_bytes(path.read_bytes() + b"\n---\n\xff" + b"x" * 200_000)
    assert store.state(item.id) == "planning"
    path.write_text("---\ntitle: A\n")
    assert store.state(item.id) is None
    assert store.state("../x") is None


def test_only_what_was_read_is_moved(store):
    """An editor that saves while the file is replaced is noticed, too."""
    item = store.new("A", BODY, ME)
    path = store.root / item.id / "item.md"
    store.move(item.id, TicketState.READY, ME, reason="r", digest=item.digest)
    refused(
        "ticket.changed",
        lambda: store.move(item.id, TicketState.QUEUED, ME, reason="r", digest=item.digest),
    )
    now = store.ticket(item.id)

    def saves(ticket):
        path.write_text(path.read_text() + "and more\n")

    refused(
        "ticket.changed",
        lambda: store.move(
            item.id, TicketState.QUEUED, ME, reason="r", digest=now.digest, before=saves
        ),
    )
    assert store.ticket(item.id).state == "ready"

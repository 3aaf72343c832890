"""The fold of a service's log against a list of everything that happened (D1, D2)."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from yoi.core.service_fold import ServiceFold, checkpoint, forget_seen
from yoi.errors import JournalError
from yoi.protocol import service_log as log
from yoi.protocol.ingress import IngressEvent, TextFrame
from yoi.protocol.service_log import Command, TimerAt, accepted, decode, encode, event_of
from yoi.types import SessionId


def frame(n, session="s"):
    return TextFrame("events", "gw", SessionId(session), n, f"text {n}", 1000 + n, 6)


def folded(entries, service="echo"):
    fold = ServiceFold(service)
    for position, entry in enumerate(entries, 1):
        fold.take(position, decode(encode(entry), position))
    return fold.picture


BEGUN = log.Begun("echo", 1)


def test_an_event_comes_back_as_it_was():
    event = IngressEvent(
        kind="websocket_open",
        source="websocket:gw",
        ingress_name="events",
        payload={"connection": "gw"},
        created_at="2026-01-01T00:00:00.000Z",
        correlation_id="s.open",
    )
    picture = folded([BEGUN, accepted(frame(1)), accepted(event)])
    first, second = picture.waiting.values()
    again = event_of(first.entry, 2)
    assert (again.text, again.size, again.attempt, again.event_id) == ("text 1", 6, 2, "s.1")
    assert event_of(second.entry, 1) == event


def test_handled_is_one_record_of_everything():
    picture = folded(
        [
            BEGUN,
            accepted(frame(1)),
            log.Tried("s.1", 2),
            log.Handled(
                "s.1",
                2,
                (Command("c", "notify", {"worker": "w"}, repeatable=True),),
                {"k": "1", "gone": None},
                (TimerAt("events", "t", 99),),
            ),
        ]
    )
    assert picture.waiting == {}
    assert picture.state == {"k": "1"}
    assert picture.timers == {("events", "t"): 99}
    assert list(picture.unsettled) == [("s.1", "c")]


def test_an_answer_settles_its_command_and_a_firing_removes_its_timer():
    handled = log.Handled(
        "s.1", 1, (Command("r", "request", {}),), {}, (TimerAt("events", "t", 99),)
    )
    picture = folded(
        [
            BEGUN,
            accepted(frame(1)),
            handled,
            accepted(frame(2), settles=log.Settles("s.1", "r"), fires="t"),
        ]
    )
    assert picture.unsettled == {}
    assert picture.timers == {}


def test_dead_letters_leave_only_by_a_person():
    entries = [BEGUN, accepted(frame(1)), log.Dead("s.1", "sandbox.exception", "m", 5)]
    assert list(folded(entries).dead) == ["s.1"]
    again = folded([*entries, log.Replayed("s.1"), log.Replayed("s.1")])
    assert (list(again.dead), list(again.waiting)) == ([], ["s.1"])
    assert folded([*entries, log.Discarded("s.1")]).dead == {}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([log.Begun("other", 1)], "the log of other"),
        ([log.Begun("echo", 1, 5), log.Begun("echo", 2, 4)], "epoch 4"),
        ([BEGUN, log.Part(state={"a": "1"})], "never begun"),
        ([BEGUN, log.Checkpoint("echo", 0, 1), log.CheckpointEnd(1)], "ends one from"),
        (
            [
                BEGUN,
                log.Checkpoint("echo", 0, 1),
                log.Part(dead=(log.Dead("s.1", "c", "m", 1),)),
                log.CheckpointEnd(2),
            ],
            "lacks the events",
        ),
        (
            [
                BEGUN,
                log.Checkpoint("echo", 0, 1),
                log.Part(attempts={"s.1": 1}),
                log.CheckpointEnd(2),
            ],
            "lacks the events",
        ),
    ],
)
def test_a_log_that_lies_is_refused(entries, words):
    with pytest.raises(JournalError, match=words) as refused:
        folded(entries)
    assert refused.value.code == "journal.format"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"type":"other"}', b'{"type":"begun","service":"a","at_ms":1,"version":2}',
     b'{"type":"accepted","ingress":"x"}', b'{"type":"tried"}', b"\xff"],
)  # fmt: skip
def test_a_record_that_cannot_be_read_names_its_position(data):
    with pytest.raises(JournalError, match="record 7") as refused:
        decode(data, 7)
    assert refused.value.code == "journal.format"


def test_ids_that_are_old_or_too_many_are_forgotten():
    fold = ServiceFold("echo")
    fold.take(1, BEGUN)
    for n in range(1, 6):
        fold.take(n + 1, accepted(frame(n), seen=f"id{n}", at_ms=n))
    forget_seen(fold.picture, "events", before_ms=2, most=3)
    assert list(fold.picture.seen) == [("events", "id3"), ("events", "id4"), ("events", "id5")]


def checkpointed(entries):
    """Return what stands after `entries`, and after a checkpoint of them that ended."""
    before = folded(entries)
    start = len(entries) + 1
    after = folded([*entries, *checkpoint(before, 1), log.CheckpointEnd(start)])
    return before, after


def test_an_event_that_a_checkpoint_repeats_does_nothing_a_second_time():
    """Its timer was set anew meanwhile, and its id has come again."""
    entries = [
        BEGUN,
        accepted(frame(1), seen="a", fires="t", at_ms=1),
        accepted(frame(2), seen="b", at_ms=2),
        accepted(frame(3), seen="a", at_ms=3),
        log.Handled("s.2", 1, (), {}, (TimerAt("events", "t", 99),)),
    ]
    for picture in checkpointed(entries):
        assert picture.timers == {("events", "t"): 99}
        assert list(picture.seen.items()) == [(("events", "b"), 2), (("events", "a"), 3)]


def test_spent_dials_only_grow_and_a_checkpoint_keeps_those_of_its_day():
    day = 86_400_000
    spent = [{"g": (3, 7), "old": (2, 9)}, {"g": (3, 6)}]
    picture = folded([BEGUN, *(log.Handled("", dials=one) for one in spent)])
    assert picture.dials == {"g": (3, 7), "old": (2, 9)}
    records = [BEGUN, *checkpoint(picture, 3 * day), log.CheckpointEnd(2)]
    assert folded(records).dials == {"g": (3, 7)}


def test_ids_of_another_place_are_forgotten():
    """The manifest names another place: what stood at the old one says nothing about the new."""
    entries = [
        BEGUN,
        log.Declared(dedupe={"events": "/id"}),
        accepted(frame(1), seen='"a"', at_ms=1),
        log.Declared(order={"events": "/k"}, dedupe={"events": "/id"}),
    ]
    for picture in checkpointed(entries):
        assert list(picture.seen) == [("events", '"a"')]
        assert picture.declared.order == {"events": "/k"}
    for picture in checkpointed([*entries, log.Declared(dedupe={"events": "/other"})]):
        assert picture.seen == {}


class FoldMachine(RuleBasedStateMachine):
    """Writes a log as a host does, with crashes anywhere, and keeps the truth beside it."""

    def __init__(self):
        super().__init__()
        self.log: list[bytes] = []
        self.trimmed = 0
        self.n = 0
        self.pending: dict[str, None] = {}
        self.ended: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.timers: dict[tuple[str, str], int] = {}
        self.unsettled: dict[tuple[str, str], None] = {}
        self.seen: dict[str, int] = {}
        self.write(BEGUN)

    def write(self, entry):
        self.log.append(encode(entry))

    def fold(self):
        fold = ServiceFold("echo")
        for position in range(self.trimmed + 1, len(self.log) + 1):
            fold.take(position, decode(self.log[position - 1], position))
        return fold.picture

    @rule(seen=st.none() | st.sampled_from("abc"), fires=st.booleans())
    def accept(self, seen, fires):
        self.n += 1
        name = f"s.{self.n}"
        fires = "t" if fires else None
        self.write(accepted(frame(self.n), seen=seen, fires=fires, at_ms=self.n))
        self.pending[name] = None
        if fires:
            self.timers.pop(("events", "t"), None)
        if seen:
            self.seen.pop(seen, None)
            self.seen[seen] = self.n

    @precondition(lambda self: self.pending)
    @rule(
        value=st.none() | st.sampled_from("123"),
        due=st.integers(0, 3),
        commands=st.integers(0, 2),
        data=st.data(),
    )
    def handle(self, value, due, commands, data):
        name = data.draw(st.sampled_from(list(self.pending)))
        made = tuple(Command(str(n), "websocket_send", {}) for n in range(commands))
        self.write(log.Handled(name, 1, made, {"k": value}, (TimerAt("events", "t", due),)))
        del self.pending[name]
        self.ended[name] = "handled"
        if value is None:
            self.state.pop("k", None)
        else:
            self.state["k"] = value
        if due:
            self.timers["events", "t"] = due
        else:
            self.timers.pop(("events", "t"), None)
        self.unsettled |= {(name, command.id): None for command in made}

    @precondition(lambda self: self.unsettled)
    @rule()
    def settle(self):
        event, command = next(iter(self.unsettled))
        self.write(log.Effected(event, command, "done"))
        del self.unsettled[event, command]

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def die(self, data):
        name = data.draw(st.sampled_from(list(self.pending)))
        self.write(log.Dead(name, "c", "m", 1))
        del self.pending[name]
        self.ended[name] = "dead"

    @precondition(lambda self: "dead" in self.ended.values())
    @rule(again=st.booleans())
    def decide(self, again):
        name = next(name for name, end in self.ended.items() if end == "dead")
        self.write(log.Replayed(name) if again else log.Discarded(name))
        if again:
            del self.ended[name]
            self.pending[name] = None
        else:
            self.ended[name] = "discarded"

    @rule(cut=st.integers(0, 30), trim=st.booleans())
    def write_checkpoint(self, cut, trim):
        """A checkpoint of which only the first `cut` records were written, or all of it."""
        start = len(self.log) + 1
        parts = list(checkpoint(self.fold(), 1))
        for entry in parts[:cut]:
            self.write(entry)
        if cut >= len(parts):
            self.write(log.CheckpointEnd(start))
            if trim:
                self.trimmed = start - 1

    @rule()
    def crash(self):
        """The next owner begins; what was written stands."""
        self.write(BEGUN)

    @invariant()
    def nothing_is_lost_or_made_up(self):
        picture = self.fold()
        assert list(picture.waiting) == list(self.pending)
        assert set(picture.dead) == {n for n, end in self.ended.items() if end == "dead"}
        assert all(event is not None for _, event in picture.dead.values())
        assert picture.state == self.state
        assert picture.timers == self.timers
        assert list(picture.unsettled) == list(self.unsettled)
        assert [(name, at) for (_, name), at in picture.seen.items()] == list(self.seen.items())


TestFold = FoldMachine.TestCase
TestFold.settings = settings(max_examples=60, stateful_step_count=30)

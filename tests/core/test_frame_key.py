"""Keys of frames, and D1: with `order = "per_key"` only events of one key wait for one another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.core.frame_key import frame_key
from yoi.core.ingress_account import IngressPolicy, Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.core.service_fold import ServiceFold
from yoi.core.service_recovery import recover
from yoi.errors import JournalError
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import BinaryFrame, IngressEvent, TextFrame
from yoi.protocol.service_log import Begun, Declared, Tried, accepted
from yoi.types import SessionId

AT = JsonPointer.parse("/channel")


def frame(seq, text, ingress="events"):
    return TextFrame(ingress, "gateway", SessionId("s"), seq, text, 0, len(text))


def of(seq, key):
    return frame(seq, "{}" if key is None else f'{{"channel": "{key}"}}')


def keyed(**options):
    return IngressQueue([IngressPolicy("events", order_key=AT, **options), IngressPolicy("other")])


def taken(queue, most=64):
    events = queue.take(most, 1 << 20)
    queue.settle(len(events))
    return [event.seq for event in events]


def failed(queue):
    """Take one event, which fails: it waits for its next attempt."""
    (event,) = queue.take(1, 1 << 20)
    queue.give_back()
    event.attempt += 1
    queue.hold(event)
    return event


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"channel": "a"}', '"a"'),
        ('{"channel": 1}', "1"),
        ('{"channel": 1.0}', "1"),
        ('{"channel": 1e0}', "1"),
        ('{"channel": 1.5}', "1.5"),
        ('{"channel": 18446744073709551617}', "18446744073709551617"),
        ('{"channel": -9223372036854775809}', "-9223372036854775809"),
        ('{"channel": 1e300}', "1e300"),
        ('{"channel": 1e400}', None),
        (f'{{"channel": {"9" * 5000}}}', None),
        ('{"channel": "1"}', '"1"'),
        ('{"channel": true}', "true"),
        ('{"channel": null}', None),
        ('{"channel": {"a": 1}}', None),
        ('{"channel": [1]}', None),
        ('{"other": 1}', None),
        ("[1]", None),
        ("not JSON", None),
        ("[" * 100_000, None),
        ('{"channel": "\\ud800"}', None),
        ('{"channel": "\ud800"}', None),
        ('{"channel": "\\ud83d\\ude00"}', '"\U0001f600"'),
    ],
)
def test_a_key_is_one_text_number_or_truth_value(text, key):
    assert frame_key(frame(1, text), AT) == key


def test_a_long_key_takes_no_second_room_and_is_no_other():
    long = [frame_key(frame(1, f'{{"channel": "{"k" * 1_000_000}{end}"}}'), AT) for end in "ab"]
    assert long[0] != long[1]
    assert all(key is not None and len(key) < 200 and key.startswith("#") for key in long)
    assert frame_key(frame(1, f'{{"channel": "{long[0]}"}}'), AT) != long[0]


def test_only_text_frames_have_a_key():
    about = {"source": "host", "ingress_name": "events", "created_at": "", "correlation_id": "c"}
    timer = IngressEvent(kind="timer", payload={"channel": "a"}, **about)
    assert frame_key(timer, AT) is None
    assert frame_key(BinaryFrame("events", "g", SessionId("s"), 1, b"{}", 0, 2), AT) is None


def test_later_events_of_other_keys_pass_a_waiting_retry():
    queue = keyed()
    for seq, key in enumerate("abab"):
        queue.offer(of(seq, key))
    event = failed(queue)
    assert taken(queue) == [1, 3]
    queue.offer(of(4, "a"))
    queue.offer(of(5, "b"))
    assert taken(queue) == [5]
    assert taken(queue) == []
    queue.release(event)
    assert taken(queue) == [0], "a further attempt comes alone"
    assert taken(queue) == [2, 4]


def test_what_has_no_key_waits_for_all_before_it_and_holds_up_all_after_it():
    queue = keyed()
    for seq, key in enumerate(["a", "b", None, "c"]):
        queue.offer(of(seq, key))
    event = failed(queue)
    assert taken(queue) == [1]
    assert taken(queue) == []
    queue.release(event)
    assert taken(queue) == [0]
    assert taken(queue) == [2, 3]


def test_a_waiting_retry_without_a_key_holds_up_its_whole_ingress():
    queue = keyed()
    queue.offer(of(0, None))
    queue.offer(of(1, "a"))
    queue.offer(frame(2, "{}", ingress="other"))
    event = failed(queue)
    assert taken(queue) == [2]
    queue.release(event)
    assert taken(queue) == [0]
    assert taken(queue) == [1]


def test_what_waits_for_the_disk_is_not_passed():
    queue = keyed()
    for seq, key in enumerate("abc"):
        event = of(seq, key)
        queue.offer(event)
        if key == "b":
            queue.withhold(event)
            withheld = event
    failed(queue)
    assert taken(queue) == []
    queue.admit(withheld)
    assert taken(queue) == [1, 2]


def test_what_is_given_back_unhandled_stands_where_it_stood():
    """Recovery takes those in hand for the first of what was accepted."""
    queue = keyed()
    for seq, key in enumerate("abaab"):
        queue.offer(of(seq, key))
    events = [failed(queue)]
    batch = queue.take(2, 1 << 20)
    assert [event.seq for event in batch] == [1, 4]
    queue.give_back()
    batch[0].attempt += 1
    queue.hold(batch[0])
    events.append(batch[0])
    for event in events:
        queue.release(event)
    assert [taken(queue) for _ in range(3)] == [[0], [1], [2, 3, 4]]


def test_what_is_given_back_stands_in_order_whatever_changed_meanwhile():
    queue = keyed(overflow=OnFull.DROP_OLDEST, max_events=5)
    for seq, key in enumerate("aabab"):
        queue.offer(of(seq, key))
    event = failed(queue)
    assert [event.seq for event in queue.take(64, 1 << 20)] == [2, 4]
    queue.settle(1)
    assert queue.offer(of(5, "b")) is Offered.ACCEPTED
    assert queue.offer(of(6, "a")) is Offered.DROPPED_OLDEST
    assert queue.evicted == [event]
    queue.give_back()
    queue.release(event)
    assert taken(queue) == [1, 3, 4, 5, 6]
    assert queue.bytes == queue.depth == 0


def test_what_is_given_back_keeps_its_place_where_another_line_is_released_meanwhile():
    queue = keyed()
    other = frame(9, "{}", ingress="other")
    queue.offer(other)
    held_other = failed(queue)
    for seq, key in enumerate("aab"):
        queue.offer(of(seq, key))
    event = failed(queue)
    assert [event.seq for event in queue.take(64, 1 << 20)] == [2]
    queue.release(held_other)
    queue.give_back()
    queue.release(event)
    assert [taken(queue) for _ in range(3)] == [[9], [0], [1, 2]]


def test_what_is_cleared_comes_in_order():
    queue = keyed()
    for seq, key in enumerate("aab"):
        queue.offer(of(seq, key))
    failed(queue)
    assert [event.seq for event in queue.take(64, 1 << 20)] == [2]
    assert [event.seq for event in queue.clear()] == [0, 1, 2]
    assert not queue.busy
    assert queue.bytes == queue.depth == 0


def test_as_many_keys_as_a_queue_holds_can_wait():
    queue = keyed()
    held = []
    for seq in range(1000):
        queue.offer(of(seq, f"k{seq}"))
    held = [failed(queue) for _ in range(1000)]
    assert [event.seq for event in held] == list(range(1000))
    assert taken(queue) == []
    for event in reversed(held):
        queue.release(event)
    assert [taken(queue) for _ in range(1000)] == [[seq] for seq in range(1000)]


def test_cleared_holds_hold_up_nothing():
    queue = keyed()
    queue.offer(of(0, "a"))
    failed(queue)
    assert [event.seq for event in queue.clear()] == [0]
    queue.offer(of(1, "a"))
    assert taken(queue) == [1]
    assert queue.bytes == 0


KEYS = st.sampled_from(["a", "b", "c", None])


@settings(max_examples=60)
@given(st.lists(KEYS, max_size=25), st.data())
def test_each_key_and_all_that_has_none_keep_their_order(keys, data):
    """Against the list of what came: whatever fails, whenever, and whenever it may go on."""
    queue = keyed(max_events=64)
    events = [of(seq, key) for seq, key in enumerate(keys)]
    left = list(events)
    held: list[TextFrame] = []
    done: list[int] = []

    def go_on():
        event = held.pop(data.draw(st.integers(0, len(held) - 1)))
        queue.release(event)

    while len(done) < len(events):
        if left and data.draw(st.booleans()):
            queue.offer(left.pop(0))
        batch = queue.take(data.draw(st.integers(1, 3)), 1 << 20)
        if not batch:
            if held:
                go_on()
            continue
        good = data.draw(st.integers(0, len(batch)))
        fails = good < len(batch) and data.draw(st.booleans())
        done += [event.seq for event in batch[:good]]
        queue.settle(good)
        queue.give_back()
        if fails:
            batch[good].attempt += 1
            queue.hold(batch[good])
            held.append(batch[good])
        if held and data.draw(st.booleans()):
            go_on()
    for place, seq in enumerate(done):
        for later in done[place + 1 :]:
            if later < seq:
                assert keys[later] is not None, "it passed one without a key"
                assert keys[seq] is not None, "one without a key passed it"
                assert keys[later] != keys[seq]
    assert queue.bytes == queue.depth == 0


@settings(max_examples=60)
@given(st.lists(KEYS, min_size=2, max_size=12), st.data())
def test_what_is_left_stands_in_the_order_in_which_it_came(keys, data):
    """Recovery relies on it: what was in hand is among the first of what is left."""
    queue = keyed(max_events=64)
    for seq, key in enumerate(keys):
        queue.offer(of(seq, key))
    left = set(range(len(keys)))
    held: list[TextFrame] = []
    for _ in range(data.draw(st.integers(1, 12))):
        batch = queue.take(data.draw(st.integers(1, 4)), 1 << 20)
        if held and data.draw(st.booleans()):
            queue.release(held.pop(data.draw(st.integers(0, len(held) - 1))))
        good = data.draw(st.integers(0, len(batch)))
        left -= {event.seq for event in batch[:good]}
        queue.settle(good)
        queue.give_back()
        if good < len(batch):
            batch[good].attempt += 1
            queue.hold(batch[good])
            held.append(batch[good])
    assert [event.seq for event in queue.clear()] == sorted(left)
    assert queue.bytes == queue.depth == 0


def picture_of(events, *tried):
    fold = ServiceFold("echo")
    for position, entry in enumerate(
        [Begun("echo", 1), *(accepted(event) for event in events), *tried], start=1
    ):
        fold.take(position, entry)
    return fold.picture


IN_ORDER = Declared(order={"events": str(AT)})


def test_after_a_crash_those_that_may_have_passed_a_retry_are_further_attempts():
    """The first of each key may have been in hand, wherever they stand."""
    events = [of(seq, "a") for seq in range(5)] + [of(5, "b"), of(6, "b"), of(7, "b")]
    picture = picture_of(events, IN_ORDER, Tried("s.0", 2))
    plan = recover(picture, ["events"], 1, 2)
    assert [event.seq for event in plan.events] == list(range(8)), "in the order they came"
    assert [one.event_id for one in plan.tried] == ["s.0", "s.1", "s.5", "s.6"]
    strict = recover(picture_of(events, Tried("s.0", 2)), ["events"], 1, 2)
    assert [one.event_id for one in strict.tried] == ["s.0", "s.1"]


def test_without_a_retry_nothing_was_passed():
    events = [of(0, "a"), of(1, "b"), of(2, "c")]
    plan = recover(picture_of(events, IN_ORDER), ["events"], 1, 1)
    assert [one.event_id for one in plan.tried] == ["s.0"]


def test_a_log_that_declares_what_is_no_place_is_refused():
    with pytest.raises(JournalError, match="a declared place must be a JSON pointer") as refused:
        picture_of([of(0, "a")], Declared(order={"events": "channel"}))
    assert refused.value.code == "journal.format"

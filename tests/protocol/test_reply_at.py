"""`reply_at` of a send: where its answer is known by."""

import msgspec
import pytest

from yoi.errors import GuestRefused
from yoi.permissions import JsonPointer
from yoi.protocol.commands import ReplyAt, WebSocketSend, parse_payload
from yoi.protocol.ingress import TextFrame
from yoi.protocol.lean import encode_batch
from yoi.protocol.service_log import Accepted, accepted, event_of
from yoi.types import SessionId

COUNTED = {"at": "/id", "counter": "session"}
ANSWER = TextFrame("events", "gw", SessionId("s"), 1, "{}", 5, 2, 1, "q1")


def send(**fields):
    return parse_payload("websocket_send", {"json": {"id": None}, "insert": [COUNTED], **fields})


def test_it_names_both_places():
    parsed = send(reply_at="/reply_to")
    assert isinstance(parsed, WebSocketSend)
    assert parsed.reply == ReplyAt(JsonPointer.parse("/id"), JsonPointer.parse("/reply_to"))
    assert send().reply is None


@pytest.mark.parametrize(
    "fields",
    [
        {"reply_at": ""},
        {"reply_at": "id"},
        {"reply_at": 1},
        {"reply_at": "/id", "insert": []},
        {"reply_at": "/id", "insert": [COUNTED, {"at": "/n", "counter": "session"}]},
        {"reply_at": "/id", "insert": [{"at": "id", "counter": "session"}]},
        {"reply_at": "/id", "insert": [{"counter": "session"}]},
        {"reply_at": "/id", "insert": [{"at": "/id", "last": "seq"}]},
        {"reply_at": "/id", "insert": ["/id"]},
    ],
)
def test_what_names_no_number_and_no_place_is_malformed(fields):
    with pytest.raises(GuestRefused) as refused:
        send(**fields)
    assert refused.value.code == "service.command_malformed"


def test_parts_count_from_the_part():
    parsed = parse_payload(
        "websocket_send",
        {
            "parts": ["42", ["ask", None]],
            "insert": [{"at": "/1/1", "counter": "session"}],
            "reply_at": "/0",
        },
    )
    assert parsed.reply == ReplyAt(JsonPointer.parse("/1/1"), JsonPointer.parse("/0"))


def test_what_it_answers_survives_the_log_and_crosses_to_the_runner():
    entry = msgspec.json.decode(msgspec.json.encode(accepted(ANSWER)), type=Accepted)
    assert event_of(entry, 1) == ANSWER
    assert ANSWER.as_event().payload["in_reply_to"] == "q1"
    plain = TextFrame("events", "gw", SessionId("s"), 2, "{}", 5, 2)
    assert "in_reply_to" not in plain.as_event().payload
    head = encode_batch([ANSWER, plain], 5).partition("\n")[0]
    assert head == (
        '[5,[["r","events","gw","s",1,5,1,[2],"q1",false],["t","events","gw","s",2,5,1,[2]]]]'
    )


def test_a_record_from_before_questions_is_read():
    old = b'{"type":"accepted","ingress":"events","frame":["gw","s",1,"{}",5]}'
    assert event_of(msgspec.json.decode(old, type=Accepted), 1).in_reply_to is None

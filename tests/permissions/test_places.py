"""N6: places with the literal text before them, as manifests, grants and commands name them."""

import pytest

from yoi.errors import PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import Authority, JsonPointer, PermissionSet, SecretUse, review
from yoi.permissions.places import Place, Position, part_value_fault, path_value_fault

BOT = {"name": "bot", "request": "api", "at": [{"at": "/path/0", "after": "bot"}]}
PASS = {"name": "pass", "connection": "irc", "at": [{"at": "/1", "after": "PASS oauth:"}]}
API = {"name": "api", "scheme": "https", "host": "api.example.com", "methods": ["POST"]}
PERMISSIONS = [
    {"kind": "connection", "name": "irc"},
    {"kind": "host_api", "api": "request"},
]


def at(pointer, before="", *, literal=False):
    return Position(JsonPointer.parse(pointer), before, literal)


def sets():
    asked = PermissionSet.parse(PERMISSIONS, [], [API], [BOT, PASS])
    return asked, asked.granting({"bot": "telegram", "pass": "twitch"})


def test_a_place_and_back():
    use = SecretUse.parse({**BOT, "at": ["/headers/x", {"at": "/path/0", "after": "bot"}]})
    assert use.to_table()["at"] == ["/headers/x", {"at": "/path/0", "after": "bot"}]
    assert SecretUse.parse(use.to_table()) == use


@pytest.mark.parametrize(
    "place",
    [
        "/path/0",
        {"at": "/path/0"},
        {"at": "/path/0", "after": "bot", "x": 1},
        {"at": "/path/0", "after": 1},
        {"at": "/path/0", "after": "a/b"},
        {"at": "/path/0", "after": "a?"},
        {"at": "/path/0", "after": "%2f"},
        {"at": "/path/x", "after": ""},
        {"at": "/path/-1", "after": ""},
        {"at": "/path/100", "after": ""},
        {"at": "/headers/x", "after": "a\r\nb"},
        {"at": "/headers/x", "after": "é"},
        {"at": "/headers/x", "after": "a" * (LIMITS.place_after_chars + 1)},
        {"at": "headers", "after": ""},
        {"at": None, "after": ""},
        {},
        7,
        None,
        "/basic/token",
        "/path",
        "/basic",
    ],
)
def test_a_faulty_place_is_refused_where_it_stands(place):
    with pytest.raises(PermissionMalformed) as caught:
        SecretUse.parse({**BOT, "at": [place]})
    assert caught.value.code == "permission.malformed"
    assert caught.value.fields["at"].startswith("secrets.at")


@pytest.mark.parametrize(
    ("position", "allowed"),
    [
        (at("/path/0", "bot", literal=True), True),
        (at("/path/0", "", literal=True), False),
        (at("/path/0", "bo", literal=True), False),
        (at("/path/0", "botx", literal=True), False),
        (at("/path/1", "bot", literal=True), False),
        (at("/headers/x", "bot"), False),
    ],
)
def test_a_segment_is_filled_after_its_text_only(position, allowed):
    decision = Authority(*sets()).secret("bot", position, request="api")
    assert decision.allowed is allowed
    assert decision.code == (None if allowed else "denied.secret_place")
    if not allowed:
        assert '/path/0 after "bot"' in decision.message


@pytest.mark.parametrize("before", ["PRIVMSG #all :", "PASS oauth", "PASS oauth:x", "\0", ""])
def test_a_part_is_filled_after_its_text_only(before):
    keys = Authority(*sets())
    assert keys.secret("pass", at("/1", "PASS oauth:", literal=True), connection="irc").allowed
    denied = keys.secret("pass", at("/1", before, literal=True), connection="irc")
    assert denied.code == "denied.secret_place"


def test_a_place_without_text_admits_no_literal_and_any_prefix():
    place = Place(JsonPointer.parse("/headers/authorization"))
    assert place.admits(at("/headers/authorization", "Bearer "))
    assert not place.admits(at("/headers/authorization", "Bearer ", literal=True))
    fixed = Place(JsonPointer.parse("/headers/authorization"), "Bearer ")
    assert fixed.admits(at("/headers/authorization", "Bearer "))
    assert not fixed.admits(at("/headers/authorization", "Token "))


def test_a_grant_for_another_text_covers_nothing():
    asked, granted = sets()
    other = PermissionSet.parse(
        PERMISSIONS,
        [],
        [API],
        [{**BOT, "at": [{"at": "/path/0", "after": "x"}], "secret": "telegram"}],
    )
    assert not granted.covers(other)
    assert not other.covers(granted)
    assert (
        not Authority(asked, other)
        .secret("bot", at("/path/0", "bot", literal=True), request="api")
        .allowed
    )


def test_the_review_says_the_text():
    rows = {row.label: row for row in review(*sets()).rows if row.kind == "secret"}
    bot = next(row for label, row in rows.items() if label.startswith("bot"))
    assert 'into /path/0 after "bot" of requests to api.example.com' in bot.explanation
    assert any("it stands in the URL" in one for one in bot.broad)
    irc = next(row for label, row in rows.items() if label.startswith("pass"))
    assert 'into /1 after "PASS oauth:" (in the second part) of messages' in irc.explanation


def test_the_hint_is_what_has_to_be_written():
    asked = PermissionSet.parse(PERMISSIONS, [], [API], [])
    denied = Authority(asked, asked).secret(
        "bot", at("/path/0", "bot", literal=True), request="api"
    )
    assert 'at = [{ at = "/path/0", after = "bot" }]' in denied.hint


@pytest.mark.parametrize("value", ["a/b", "a\\b", "a\r", "a\n", "\0", "", "\u2028"])
def test_no_value_ends_its_segment(value):
    assert path_value_fault(value)


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "\0", "", "\u2028"])
def test_no_value_ends_its_line(value):
    assert part_value_fault(value)

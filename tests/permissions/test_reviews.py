"""The review shows each target as it stands (P6, P7), and never contradicts the decision."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.limits import MIB
from yoi.permissions import Authority, PermissionSet, ReviewState, Url, UrlTarget, review

BASE = {"scheme": "wss", "host": "example.com", "path_prefixes": ["/ws"]}


def only_row(asked, given):
    rows = review(PermissionSet.parse([], [asked]), PermissionSet.parse([], given)).rows
    assert rows[0].requested
    return rows[0]


@pytest.mark.parametrize(
    ("asked", "grants", "state", "words"),
    [
        (BASE, [BASE], "covered", "as asked"),
        (BASE, [], "denied", "not granted"),
        (BASE, [{**BASE, "host": "other.test"}], "denied", "refused"),
        (BASE, [{**BASE, "port": 8443}], "denied", "refused"),
        (BASE, [{**BASE, "port": 443}], "covered", "as asked"),
        (BASE, [{**BASE, "host": "*.example.com"}], "denied", "refused"),
        (BASE, [{**BASE, "host": "*"}], "covered", "wider"),
        (BASE, [{"scheme": "*", "host": "*"}], "covered", "wider"),
        (BASE, [{**BASE, "path_prefixes": ["/ws/a"]}], "partly_covered", "only within"),
        (
            {**BASE, "host": "*.example.com"},
            [{**BASE, "host": "a.example.com"}],
            "partly_covered",
            "only",
        ),
        ({**BASE, "host": "*.example.com"}, [{**BASE, "host": "*.com"}], "covered", "wider"),
        ({**BASE, "path_prefixes": []}, [BASE], "partly_covered", "only within"),
        ({**BASE, "path_prefixes": []}, [{**BASE, "path_prefixes": ["/"]}], "covered", "as asked"),
        (
            {**BASE, "path_prefixes": ["/a", "/b"]},
            [{**BASE, "path_prefixes": ["/a"]}, {**BASE, "path_prefixes": ["/b"]}],
            "covered",
            "as asked",
        ),
        (
            {**BASE, "scheme": "*"},
            [{**BASE, "scheme": "wss"}],
            "partly_covered",
            "only within",
        ),
        (
            {**BASE, "max_message_bytes": 4 * MIB},
            [BASE],
            "partly_covered",
            "messages only up to 1 MiB",
        ),
        ({**BASE, "addresses": "private"}, [BASE], "partly_covered", "public address"),
    ],
)
def test_states(asked, grants, state, words):
    row = only_row(asked, grants)
    assert row.state.value == state
    assert words in row.explanation


def test_grant_only_and_wider_grants():
    asked = PermissionSet.parse([{"kind": "tool", "name": "a"}], [BASE])
    given = PermissionSet.parse(
        [{"kind": "tool_namespace", "namespace": "a"}, {"kind": "external_write"}],
        [{**BASE, "host": "other.test"}, {**BASE, "host": "*"}],
    )
    rows = {row.label: row for row in review(asked, given).rows}
    assert rows["tool.a"].state is ReviewState.COVERED
    assert "more widely" in rows["tool_namespace.a"].explanation
    assert rows["external_write"].state is ReviewState.GRANT_ONLY
    assert "no effect" in rows["external_write"].explanation
    assert rows["wss://other.test /ws"].state is ReviewState.GRANT_ONLY


def test_broad_rows_stand_apart_and_json_is_plain():
    found = review(PermissionSet.parse([], [BASE, {"scheme": "*", "host": "*"}]), PermissionSet())
    assert [row.label for row in found.broad] == ["*://* *"]
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["broad"] is True
    assert plain["complete"] is False
    assert set(plain["rows"][1]) == {
        "label",
        "kind",
        "requested",
        "granted",
        "state",
        "broad",
        "explanation",
    }
    assert len(plain["rows"][1]["broad"]) == 3


def test_complete_when_granted_as_asked():
    asked = PermissionSet.parse([{"kind": "connection", "name": "g"}], [BASE])
    assert review(asked, asked).complete
    assert review(PermissionSet(), PermissionSet()).complete


TARGET = st.fixed_dictionaries(
    {
        "scheme": st.sampled_from(["ws", "wss", "*"]),
        "host": st.sampled_from(["a.test", "b.a.test", "*.a.test", "*.test", "*", "127.0.0.1"]),
    },
    optional={
        "port": st.sampled_from([80, 443]),
        "path_prefixes": st.lists(st.sampled_from(["/", "/x", "/x/", "/x/y", "/xy"]), max_size=3),
    },
).map(UrlTarget.parse)
PROBES = [
    Url.parse(f"{scheme}://{host}{port}{path}")
    for scheme in ("ws", "wss")
    for host in ("a.test", "b.a.test", "c.b.a.test", "z.test", "evil.example", "127.0.0.1")
    for port in (":80", ":443")
    for path in ("/", "/x", "/x/", "/x/y", "/x/y/z", "/xy", "/q")
]


@settings(max_examples=400)
@given(TARGET, st.lists(TARGET, max_size=3))
def test_the_review_never_contradicts_the_decision(asked, grants):
    row = review(PermissionSet.of((), (asked,)), PermissionSet.of((), tuple(grants))).rows[0]
    wanted = [url for url in PROBES if asked.allows(url)]
    allowed = [url for url in wanted if any(one.allows(url) for one in grants)]
    if row.state is ReviewState.COVERED:
        assert allowed == wanted
    elif row.state is ReviewState.DENIED:
        assert not allowed
    else:
        assert row.state is ReviewState.PARTLY_COVERED
        assert len(allowed) < len(wanted) or asked.private


def test_a_target_that_may_bring_more_than_the_memory_holds_is_said():
    """One budget: what may come, what holds it, and the key for more stand in one line."""
    large = {**BASE, "max_message_bytes": 16 * MIB}
    assert only_row(large, [large]).explanation == (
        "granted as asked; it may bring 16 MiB at once, and the plugin's memory of 64 MiB holds "
        "about 4 MiB of usual JSON: to hold all, write and grant memory_bytes = 201326592 "
        "(JSON of many small values takes more; where it does not fit, the refusal says how much)"
    )
    asked = PermissionSet.parse([], [large], memory_bytes=192 * MIB)
    assert "holds" not in review(asked, asked).rows[0].explanation
    assert "holds" in review(asked, PermissionSet.parse([], [large])).rows[0].explanation


def test_memory_needs_both_keys_and_is_shown():
    asked = PermissionSet(memory_bytes=128 * MIB)
    part, whole = review(asked, PermissionSet()), review(asked, asked)
    assert [(row.kind, row.state, row.explanation) for row in part.rows] == [
        (
            "memory",
            ReviewState.PARTLY_COVERED,
            "it asks for 128 MiB of memory and gets 64 MiB",
        )
    ]
    assert whole.complete
    assert Authority(asked, PermissionSet()).memory_bytes == 64 * MIB
    assert Authority(asked, asked).memory_bytes == 128 * MIB
    assert Authority(PermissionSet(), asked).memory_bytes == 64 * MIB
    assert not review(PermissionSet(), PermissionSet()).rows


def test_a_label_that_is_cut_is_among_what_is_read_twice():
    """Nothing is granted that the person could not have read."""
    asked = {**BASE, "path_prefixes": ["/" + "x" * 600, "/zz"]}
    row = only_row(asked, [asked])
    assert "/zz" not in row.label
    assert "too long to be shown whole" in row.broad[-1]
    assert only_row(BASE, [BASE]).broad == ()

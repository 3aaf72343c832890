"""Patterns are parsed values: what is ambiguous is refused, what is exact matches nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import TokenError
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.principals import (
    EVERYTHING,
    Principal,
    PrincipalKind,
    SubjectPattern,
    operator,
)

WORKER = Subject(SubjectKind.WORKER, "alice", "here")
SERVICE = Subject(SubjectKind.SERVICE, "slack", "here")
AT_RUNTIME = Subject(SubjectKind.WORKER, "alice")

NAMES = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,8}[A-Za-z0-9_-])?", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("*", {WORKER, SERVICE, AT_RUNTIME}),
        ("*/*/*", {WORKER, SERVICE, AT_RUNTIME}),
        ("here/*/*", {WORKER, SERVICE}),
        ("here/worker/alice", {WORKER}),
        ("here/worker/bob", set()),
        ("there/worker/alice", set()),
        ("*/service/*", {SERVICE}),
        ("worker/alice", {WORKER, AT_RUNTIME}),
        ("*/slack", {SERVICE}),
    ],
)
def test_what_a_pattern_matches(text, matched):
    pattern = SubjectPattern.parse(text)
    assert {one for one in (WORKER, SERVICE, AT_RUNTIME) if pattern.matches(one)} == matched


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "//",
        "**",
        "alice",
        "here/worker",
        "worker/",
        "here/worker/",
        "/worker/alice",
        "here/workers/alice",
        "here/Worker/alice",
        "here/worker/al*",
        "here/worker/alice/more",
        "here/worker/ alice",
        "here/worker/alice ",
        "here/worker/..",
        "here/worker/a\nb",
        "here/worker/%2a",
        "here/worker/\u0430lice",
        "h" * 500 + "/worker/alice",
    ],
)
def test_what_is_not_a_pattern(text):
    with pytest.raises(TokenError) as caught:
        SubjectPattern.parse(text)
    assert caught.value.code == "token.pattern"
    assert len(caught.value.message) < 200


@given(st.text(max_size=40))
def test_text_is_a_pattern_or_refused(text):
    try:
        pattern = SubjectPattern.parse(text)
    except TokenError:
        return
    assert SubjectPattern.parse(str(pattern)) == pattern


@given(NAMES, st.sampled_from(SubjectKind), NAMES, NAMES, st.sampled_from(SubjectKind), NAMES)
def test_an_exact_pattern_matches_its_subject_and_no_other(r1, k1, n1, r2, k2, n2):
    one, other = Subject(k1, n1, r1), Subject(k2, n2, r2)
    pattern = SubjectPattern.parse(f"{r1}/{k1}/{n1}")
    assert pattern.matches(one)
    assert pattern.matches(other) == (one == other)


def test_a_principal_sees_what_one_of_its_patterns_matches():
    someone = Principal(
        name="x",
        kind=PrincipalKind.TOKEN,
        observe=(SubjectPattern.parse("worker/bob"), SubjectPattern.parse("service/*")),
    )
    assert someone.observes(SERVICE)
    assert not someone.observes(WORKER)
    assert not Principal(name="x", kind=PrincipalKind.TOKEN).observes(WORKER)
    assert operator().observes(WORKER)
    assert operator().observe == (EVERYTHING,)


def test_time_is_over_at_the_moment_itself():
    someone = Principal(name="x", kind=PrincipalKind.TOKEN, expires_at_ms=1000)
    assert [someone.expired(now) for now in (999, 1000, 1001)] == [False, True, True]
    assert not operator().expired(10**15)

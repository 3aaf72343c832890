"""Codes let in once; sessions survive a restart and nothing else that should end them."""

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.canary import Canaries

from yoi.limits import Limits
from yoi.serving.admission import Refused
from yoi.serving.identity import AT_BACKEND, AT_METRICS, AT_RUNTIME, Identities
from yoi.serving.keys import Key, ObservationKeys
from yoi.serving.principals import Principal, PrincipalKind, Redaction, SubjectPattern, operator
from yoi.serving.sessions import Sessions
from yoi.serving.token_entries import TokenKind
from yoi.serving.tokens import TokenStore
from yoi.testing.clock import ManualClock

KEY = Key.fresh()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def tokens(tmp_path, clock):
    return TokenStore(tmp_path / "tokens.toml", clock=clock)


@pytest.fixture
def sessions(clock, tokens):
    return Sessions(KEY, clock, tokens)


def refused(sessions, code, peer="192.0.2.1"):
    with pytest.raises(Refused) as caught:
        sessions.exchange(code, peer)
    return caught.value.status, caught.value.code


def test_a_code_lets_in_once(sessions, clock):
    code = sessions.new_code(operator()).reveal()
    session = sessions.exchange(code, "192.0.2.1")
    assert session.expires_at_ms == clock.wall_ms() + Limits().session_ms
    who = sessions.verify(session.token.reveal())
    assert who == session.principal == replace(operator(), expires_at_ms=session.expires_at_ms)
    assert refused(sessions, code) == (401, "unauthorized")


def test_a_code_is_over_at_its_moment(sessions, clock):
    early, late = sessions.new_code(operator()).reveal(), sessions.new_code(operator()).reveal()
    clock.advance(119.9)
    sessions.exchange(early, "192.0.2.1")
    clock.advance(0.1)
    assert refused(sessions, late) == (401, "unauthorized")


def test_wrong_used_and_old_codes_look_the_same(sessions, clock):
    used, old = sessions.new_code(operator()).reveal(), sessions.new_code(operator()).reveal()
    sessions.exchange(used, "192.0.2.1")
    clock.advance(1000)
    answers = set()
    for code in (used, old, "wrong", "", "x" * 100_000, "\ud800"):
        with pytest.raises(Refused) as caught:
            sessions.exchange(code, "192.0.2.1")
        answers.add((caught.value.status, caught.value.code, caught.value.message))
    assert len(answers) == 1


def test_the_oldest_of_too_many_codes_goes(clock, tokens):
    sessions = Sessions(KEY, clock, tokens, Limits(sign_in_codes=2))
    codes = [sessions.new_code(operator()).reveal() for _ in range(3)]
    assert refused(sessions, codes[0]) == (401, "unauthorized")
    for code in codes[1:]:
        sessions.exchange(code, "192.0.2.1")


def test_guessing_is_bounded_for_each_peer_and_locks_no_good_code_out(clock, tokens):
    sessions = Sessions(KEY, clock, tokens, Limits(sign_in_failures=3))
    codes = [sessions.new_code(operator()).reveal() for _ in range(2)]
    answers = [refused(sessions, f"guess {n}") for n in range(5)]
    assert answers == [(401, "unauthorized")] * 3 + [(503, "busy")] * 2
    sessions.exchange(codes[0], "192.0.2.1")  # from the address that guessed
    sessions.exchange(codes[1], "192.0.2.2")
    assert refused(sessions, codes[0]) == (503, "busy")  # it was used
    assert refused(sessions, "guess", "192.0.2.2") == (401, "unauthorized")
    clock.advance(3600)
    assert [refused(sessions, "guess")[0] for _ in range(4)] == [401, 401, 401, 503]


def test_good_codes_are_not_counted(clock, tokens):
    sessions = Sessions(KEY, clock, tokens, Limits(sign_in_failures=1))
    for _ in range(5):
        sessions.exchange(sessions.new_code(operator()).reveal(), "192.0.2.1")


def test_a_session_survives_a_restart_with_the_same_key_only(sessions, clock, tokens):
    someone = Principal(
        name="desk",
        kind=PrincipalKind.OPERATOR,
        observe=(SubjectPattern.parse("*/worker/a"),),
        redact=frozenset({Redaction.THINKING}),
        commands=frozenset({"send"}),
    )
    session = sessions.begin(someone)
    presented = session.token.reveal()
    assert Sessions(KEY, clock, tokens).verify(presented) == session.principal
    other = Key(KEY.id, Key.fresh().value)
    assert Sessions(other, clock, tokens).verify(presented) is None
    assert Sessions(Key.fresh(), clock, tokens).verify(presented) is None


def test_a_session_is_over_at_its_moment(sessions, clock):
    session = sessions.begin(operator()).token.reveal()
    clock.advance(Limits().session_ms / 1000 - 0.001)
    assert sessions.verify(session) is not None
    clock.advance(0.001)
    assert sessions.verify(session) is None


def test_a_session_ends_with_its_token(sessions, tokens, clock):
    _, token = tokens.create("alice", expires_at=clock.wall() + timedelta(hours=1))
    who = tokens.verify(token.reveal(), clock.wall_ms())
    session = sessions.begin(who)
    assert session.expires_at_ms == who.expires_at_ms
    assert sessions.verify(session.token.reveal()) == who
    tokens.revoke("alice")
    assert sessions.verify(session.token.reveal()) is None
    tokens.create("alice")
    assert sessions.verify(session.token.reveal()) is None


def test_a_session_sees_what_its_token_sees_now(sessions, tokens, clock, tmp_path):
    _, token = tokens.create("alice")
    session = sessions.begin(tokens.verify(token.reveal(), clock.wall_ms())).token.reveal()
    path = tmp_path / "tokens.toml"
    path.write_text(path.read_text().replace("redact = []", 'redact = ["thinking"]'))
    tokens.reload()
    assert sessions.verify(session).redact == {Redaction.THINKING}


def flipped(text):
    for index in range(5, len(text)):
        for other in "AQz_":
            if text[index] != other:
                yield text[:index] + other + text[index + 1 :]
                break


def test_no_forged_session_is_accepted(sessions, clock):
    presented = sessions.begin(operator()).token.reveal()
    raw = base64.urlsafe_b64decode(presented[5:] + "=" * (-len(presented[5:]) % 4))
    whose = sessions.verify(presented)
    for other in flipped(presented):
        found = sessions.verify(other)
        # The last character has bits that stand for nothing.
        assert found is None or (found == whose and other[:-1] == presented[:-1])
    claims = json.loads(raw[5:-32])
    claims["expires_at_ms"] += 10**9
    forged = raw[:5] + json.dumps(claims).encode() + raw[-32:]
    assert sessions.verify("yois_" + base64.urlsafe_b64encode(forged).decode()) is None
    for wrong in (
        "",
        "yois_",
        "yois_AAAA",
        presented[:-8],
        presented + "AAAA",
        "yois_" + "A" * 9000,
    ):
        assert sessions.verify(wrong) is None


@given(st.text(max_size=200))
def test_whatever_is_presented_is_an_answer(text):
    clock = ManualClock()
    sessions = Sessions(KEY, clock, TokenStore(None, clock=clock))
    assert sessions.verify(text) is None
    assert sessions.verify("yois_" + text) is None


def test_a_session_fits_a_header_and_a_subprotocol(sessions):
    import re

    session = sessions.begin(operator())
    assert re.fullmatch(r"[A-Za-z0-9_-]{60,400}", session.token.reveal())


def test_no_code_and_no_session_in_any_repr(sessions, clock):
    canaries = Canaries()
    code = sessions.new_code(operator())
    canaries.mark("code", code.reveal())
    waiting = repr(sessions)
    used = sessions.new_code(operator())
    canaries.mark("used", used.reveal())
    session = sessions.exchange(used.reveal(), "192.0.2.1")
    canaries.mark("session", session.token.reveal())
    with pytest.raises(Refused) as caught:
        sessions.exchange(used.reveal(), "192.0.2.1")
    assert (
        canaries.grep_everything(
            sessions=sessions, waiting=waiting, session=session, codes=[code, used],
            error=caught.value, who=session.principal,
        )
        == []
    )  # fmt: skip


# Identities: which of them, and of whom


@pytest.fixture
def presented(tokens, sessions):
    return {
        "observer": tokens.create("alice")[1].reveal(),
        "upstream": tokens.create("backend", kind=TokenKind.UPSTREAM)[1].reveal(),
        "metrics": tokens.create("prom", kind=TokenKind.METRICS, observe=())[1].reveal(),
        "session": sessions.begin(operator()).token.reveal(),
        "nobody": "yoi_" + "A" * 43,
    }


@pytest.mark.parametrize(
    ("kinds", "let_in"),
    [(AT_RUNTIME, {"upstream"}), (AT_BACKEND, {"observer", "session"})],
)
def test_each_hop_lets_in_its_own(tokens, sessions, clock, presented, kinds, let_in):
    identities = Identities(tokens, clock, kinds, sessions)
    assert {name for name, text in presented.items() if identities.identify(text)} == let_in


def test_figures_have_a_door_of_their_own(tokens, sessions, clock, presented):
    identities = Identities(tokens, clock, AT_RUNTIME, sessions)
    figures = identities.letting_in(AT_METRICS)
    assert figures.identify(presented["metrics"]).kind is PrincipalKind.METRICS
    assert figures.identify(presented["upstream"]).name == "backend"
    assert figures.identify(presented["nobody"]) is None
    assert identities.identify(presented["metrics"]) is None


def test_without_sessions_there_are_only_tokens(tokens, clock, presented):
    identities = Identities(tokens, clock, AT_BACKEND)
    assert identities.identify(presented["session"]) is None
    assert identities.identify(presented["observer"]).name == "alice"


def test_a_token_that_was_revoked_elsewhere_is_nobody_at_once(tokens, clock, tmp_path, presented):
    identities = Identities(tokens, clock, AT_BACKEND)
    who = identities.identify(presented["observer"])
    assert identities.holds(who)
    TokenStore(tmp_path / "tokens.toml", clock=clock).revoke("alice")
    before = identities.revision
    identities.refresh()
    assert identities.revision == before + 1
    assert not identities.holds(who)
    assert identities.identify(presented["observer"]) is None


def test_a_broken_file_lets_nobody_in_and_is_told_once(tokens, clock, tmp_path, presented, capsys):
    identities = Identities(tokens, clock, AT_BACKEND)
    who = identities.identify(presented["observer"])
    path = tmp_path / "tokens.toml"
    good = path.read_text()
    path.write_text("= broken")
    assert identities.identify(presented["observer"]) is None
    assert identities.identify(presented["observer"]) is None
    assert identities.holds(who)
    assert "line 1" in identities.why_not_ready()
    told = capsys.readouterr().out
    assert told.count("nobody new is let in") == 1
    assert presented["observer"] not in told
    path.write_text(good)
    assert identities.why_not_ready() is None
    assert identities.identify(presented["observer"]) == who


def test_who_has_no_credential_holds_until_it_expires(tokens, clock):
    identities = Identities(tokens, clock, AT_BACKEND)
    assert identities.holds(operator())
    someone = replace(operator(), expires_at_ms=clock.wall_ms() + 1)
    assert identities.holds(someone)
    clock.advance(1)
    assert not identities.holds(someone)


def test_fresh_keys_have_a_session_key(clock, tokens):
    keys = ObservationKeys.fresh()
    sessions = Sessions(keys.session, clock, tokens)
    assert sessions.verify(sessions.begin(operator()).token.reveal()) is not None

"""The dial policy alone: which URL, and when (W1, W8). No socket, no clock."""

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.core.test_connection import BY_PLUGIN, LOST, SETTINGS

from yoi.core.backoff import FullJitter
from yoi.core.dialling import DialPolicy, Source, is_final
from yoi.core.session_effects import Needed, UseOwnUrl
from yoi.errors import ConnectionFailure, PermissionDenied, YoiError


def policy(**changes):
    backoff = FullJitter(first_ms=500, max_ms=60_000, rng=lambda: 0.5)
    return DialPolicy(dataclasses.replace(SETTINGS, **changes), backoff)


def test_a_ticket_serves_for_one_dial():
    made = policy(**BY_PLUGIN)
    assert not made.usable
    made.supply(once=True)
    assert made.usable
    made.spend()
    assert made.source is Source.NONE


def test_a_url_is_dialled_again():
    made = policy(**BY_PLUGIN)
    made.supply(once=False)
    made.spend()
    assert made.source is Source.SUPPLIED


def test_what_proved_itself_forgives_and_what_did_not_waits_longer():
    made = policy()
    assert [made.judge(0.0, proved=False) for _ in range(3)] == [250, 500, 1000]
    assert made.failures == 3
    assert made.judge(10.0, proved=True) == 250
    assert made.failures == 0
    assert made.wait_ms(10.1) == pytest.approx(150)


def test_a_failed_dial_waits_for_the_backoff_and_says_why():
    made = policy()
    assert made.fail(0.0, LOST) == 250
    assert (made.wait_ms(0.0), made.why) == (250, "lost")


def test_a_url_that_does_not_get_ready_is_given_up_for_the_manifest_s():
    made = policy(fresh_after=2)
    made.supply(once=False)
    made.fail(0.0, LOST)
    assert made.escalate() == []
    made.fail(0.0, LOST)
    own, needed = made.escalate()
    assert (type(own), type(needed)) == (UseOwnUrl, Needed)
    assert needed.fresh
    assert made.source is Source.OWN


def test_a_url_cannot_be_the_manifest_s_where_it_has_none():
    """The runtime refuses it before; a defect must not dial what nobody supplied."""
    made = policy()
    with pytest.raises(YoiError):
        made._transition(Source.NONE)


def test_only_the_grants_make_a_failure_final():
    assert is_final(PermissionDenied("denied.not_granted", "no"))
    assert not is_final(PermissionDenied("denied.address", "elsewhere tomorrow"))
    assert not is_final(ConnectionFailure("connection.refused", "no"))


class AnyUse(RuleBasedStateMachine):
    """Whatever is supplied and whatever fails, what is dialled is what was supplied last."""

    @initialize(own=st.booleans(), fresh_after=st.sampled_from([None, 1, 3]))
    def begin(self, own, fresh_after):
        self.own = own
        self.made = policy(fresh_after=fresh_after, **({} if own else BY_PLUGIN))
        self.model = "own" if own else "none"
        self.now = 0.0

    @rule(once=st.booleans())
    def supply(self, once):
        self.made.supply(once=once)
        self.model = "ticket" if once else "supplied"

    @rule()
    def use_own(self):
        if self.own:
            self.made.use_own()
            self.model = "own"

    @rule()
    def dial(self):
        if self.made.usable:
            self.made.spend()
            if self.model == "ticket":
                self.model = "none"

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def fail(self):
        failures = self.made.failures
        assert self.made.fail(self.now, LOST) <= 60_000
        assert self.made.failures == failures + 1
        told = self.made.escalate()
        if any(isinstance(effect, UseOwnUrl) for effect in told):
            assert self.own
            self.model = "own"
        elif self.model in ("supplied", "ticket") and not self.made.usable:
            assert not self.own
            assert self.made.needed().fresh
            self.model = "none"

    @rule()
    def prove(self):
        assert self.made.judge(self.now, proved=True) <= 500
        assert self.made.failures == 0

    @invariant()
    def agrees(self):
        assert self.made.source.value == self.model
        assert self.made.wait_ms(self.now) >= 0


AnyUse.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestAnyUse = AnyUse.TestCase


def test_a_server_that_names_a_wait_is_not_dialled_before():
    made = policy()
    asked = ConnectionFailure("connection.handshake", "later", status=429, retry_after_ms=6_000)
    assert made.fail(0.0, asked) == 6_000
    assert made.wait_ms(1.0) == 5_000
    brief = ConnectionFailure("connection.handshake", "later", status=503, retry_after_ms=1)
    assert made.fail(10.0, brief) == 500, "the backoff is longer"

"""What a beginner meets first says what to do next."""

import pytest

from yoi.errors import CODES, ConnectionFailure, GuestRefused
from yoi.runtime import advice
from yoi.runtime.ledger import Ledger
from yoi.testing import ManualClock


def test_advice_is_about_codes_that_exist():
    assert set(advice._ADVICE) <= set(CODES)


@pytest.mark.parametrize(
    ("own", "shown"), [(None, advice.advice("connection.refused")), ("its own", "its own")]
)
def test_a_fault_keeps_its_own_hint_and_gets_one_where_it_has_none(own, shown):
    heard = []
    ledger = Ledger("echo", ManualClock(), heard.append)
    ledger.error(ConnectionFailure("connection.refused", "no address answered", hint=own))
    assert heard[0].hint == shown


@pytest.mark.parametrize("family", ["connection", "request"])
@pytest.mark.parametrize("fault", ["dns", "refused", "timeout", "tls", "lost", "protocol"])
def test_every_fault_of_a_network_has_a_next_step(family, fault):
    assert advice.advice(f"{family}.{fault}")


def test_of_what_nothing_is_known_nothing_is_said():
    assert advice.advice("sandbox.trap") is None


def test_a_plugin_that_cannot_be_loaded_is_told_what_is_not_there_and_what_to_use():
    trace = "plugin/plugin.py:3 in <module>\n    import requests"
    message = "ModuleNotFoundError: No module named 'requests'"
    words = advice.told(
        GuestRefused("sandbox.load", message, type="ModuleNotFoundError", trace=trace)
    )
    assert words.message.startswith("there is no module requests in the sandbox (")
    assert "return Request(" in words.hint
    own = GuestRefused("sandbox.load", "ValueError: no", type="ValueError", trace="")
    assert (advice.told(own).message, advice.told(own).hint) == (
        "ValueError: no",
        advice.advice("sandbox.load"),
    )

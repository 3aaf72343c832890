"""Try again or final, and words that name no address."""

import socket
import ssl

import pytest

from yoi.client.outcomes import Why, bounded_ms, of_answer, of_close, of_diagnostic, of_failed_dial
from yoi.errors import CODES
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import (
    OBSERVATION_CODES,
    CloseCode,
    Hop,
    ObservationDiagnostic,
    observation_diagnostic,
)


@pytest.mark.parametrize(
    ("after", "wait"),
    [("3", 3000), ("-1", 0), ("soon", 0), ("9" * 40, LIMITS.retry_after_max_ms), ("", 0)],
)
def test_retry_after_in_seconds(after, wait):
    leave = of_answer(503, {"retry-after": after}, b"")
    assert (leave.reason, leave.retry_after_ms, leave.error) == (Why.BUSY, wait, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message":3}', b"[" * 100_000])
def test_a_body_that_says_nothing_is_no_trouble(body):
    assert of_answer(500, {}, body).message == "the server answered 500"


@pytest.mark.parametrize(
    "exc",
    [
        ConnectionRefusedError(111, "Connect call failed ('10.1.2.3', 81)"),
        OSError("Multiple exceptions: 10.1.2.3:81, 10.1.2.4:81"),
        socket.gaierror(-2, "10.1.2.3"),
        ssl.SSLError(1, "10.1.2.3"),
        TimeoutError("10.1.2.3"),
        EOFError("10.1.2.3"),
        ValueError("10.1.2.3"),
    ],
)
def test_a_dial_that_failed_is_tried_again_and_names_no_address(exc):
    leave = of_failed_dial(exc)
    assert leave.error is None
    assert "10.1.2" not in leave.message


@pytest.mark.parametrize("code", CloseCode)
def test_close_codes_are_final_as_they_say(code):
    leave = of_close(code, "")
    assert (leave.error is not None) == code.final


@pytest.mark.parametrize("name", [n for n, m in OBSERVATION_CODES.items() if m.close is not None])
def test_every_diagnostic_that_closes_has_its_outcome(name):
    leave = of_diagnostic(observation_diagnostic(Hop.BACKEND, name))
    assert (leave.error is not None) == OBSERVATION_CODES[name].close.final
    assert leave.error is None or leave.error.code in CODES


def test_a_negative_or_endless_wait_is_bounded():
    entry = ObservationDiagnostic(
        code="backend.x",
        scope="y",
        retryable=True,
        action="reconnect",
        message="",
        retry_after_ms=-5,
    )
    assert of_diagnostic(entry).retry_after_ms == 0
    assert bounded_ms(10**15, Limits()) == Limits().observe_retry_after_ms

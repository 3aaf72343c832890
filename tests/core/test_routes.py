"""Retry-After, per route."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.routes import Route, Routes, retry_after_ms
from yoi.limits import LIMITS, Limits

WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUTE = Route("api", "POST", "/chat")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1000),
        (" 30\t", 30_000),
        ("1.5", 1500),
        ("999999999999", LIMITS.retry_after_max_ms),
        ("999999999", LIMITS.retry_after_max_ms),
        # A Unix time is that moment, and one in the past no wait.
        (str(int(WALL.timestamp()) + 5), 5_000),
        (f"{int(WALL.timestamp()) + 5}.25", 5_250),
        (str(int(WALL.timestamp()) - 5), 0),
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("\u0661", None),
        ("", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30_000),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30_000),
        ("Thu Jan  1 12:00:30 2026", 30_000),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30_000),
        ("Thu, 01 Jan 2026 11:59:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LIMITS.retry_after_max_ms),
        ("Thu, 99 Jan 2026 12:00:30 GMT", None),
        ("Thu, 01 Jan 99999999999 12:00:30 GMT", None),
    ],
)
def test_seconds_and_dates(text, expected):
    assert retry_after_ms(text, WALL) == expected


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Z][a-z]{2}, \d\d \w{3} \d+ [0-9:+-]+")))
def test_any_text_is_a_bounded_wait_or_none(text):
    wait = retry_after_ms(text, WALL)
    assert wait is None or 0 <= wait <= LIMITS.retry_after_max_ms


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2)))
def test_a_date_as_servers_write_it_is_the_time_until_then(moment):
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    expected = max(0, round((moment - WALL) / timedelta(milliseconds=1)))
    assert retry_after_ms(moment.strftime("%a, %d %b %Y %H:%M:%S GMT"), WALL) == expected


def test_a_wait_holds_its_own_route_only_and_ends():
    routes = Routes()
    assert routes.answered(ROUTE, 429, "2", 100.0, WALL) == 2000
    assert routes.wait_ms(ROUTE, 100.5) == 1500
    assert routes.wait_ms(ROUTE._replace(method="GET"), 100.5) == 0
    assert routes.wait_ms(ROUTE._replace(path="/chat2"), 100.5) == 0
    assert routes.wait_ms(ROUTE, 101.9999) == 1  # never 0 while it holds
    assert routes.wait_ms(ROUTE, 102.0) == 0
    assert len(routes) == 0


@pytest.mark.parametrize(("status", "header"), [(200, "5"), (500, "5"), (429, None), (429, "x")])
def test_other_answers_hold_nothing(status, header):
    routes = Routes()
    assert routes.answered(ROUTE, status, header, 0.0, WALL) is None
    assert len(routes) == 0


def test_zero_seconds_hold_nothing():
    routes = Routes()
    assert routes.answered(ROUTE, 503, "0", 0.0, WALL) == 0
    assert len(routes) == 0


def test_the_longer_of_two_waits_counts():
    """Two answers to requests that were under way together."""
    routes = Routes()
    routes.answered(ROUTE, 429, "10", 0.0, WALL)
    routes.answered(ROUTE, 503, "1", 0.0, WALL)
    assert routes.wait_ms(ROUTE, 5.0) == 5000


def test_the_table_is_bounded_and_drops_what_is_over_then_what_is_shortest():
    routes = Routes(Limits(routes=3))
    for n, seconds in enumerate((1, 50, 20, 30)):
        routes.answered(ROUTE._replace(path=f"/{n}"), 429, str(seconds), 0.0, WALL)
    assert len(routes) == 3
    assert routes.wait_ms(ROUTE._replace(path="/0"), 0.0) == 0
    routes.answered(ROUTE._replace(path="/9"), 429, "40", 25.0, WALL)  # /2 is over by then
    assert routes.wait_ms(ROUTE._replace(path="/3"), 25.0) == 5000
    routes.expire(200.0)
    assert len(routes) == 0

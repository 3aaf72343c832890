"""Retry-After, per route."""

from datetime import UTC, datetime

import pytest

from yoi.core.routes import Route, Routes
from yoi.limits import Limits

WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUTE = Route("api", "POST", "/chat")


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

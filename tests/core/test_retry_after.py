"""Retry-After: what servers write, and what they should not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.retry_after import retry_after_ms, retry_seconds_ms
from yoi.limits import LIMITS

WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)


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
        ("9" * 5000, LIMITS.retry_after_max_ms),
        ("9" * 5000 + ".5", LIMITS.retry_after_max_ms),
        ("0" * 5000 + "7", 7_000),
        ("0." + "0" * 5000 + "7", 0),
        ("1.2345678901234567890", 1_235),
        ("-1", None),
        ("-0", None),
        ("1.", None),
        (".5", None),
        ("1,5", None),
        ("1\n", None),
        ("+1", None),
        ("1e3", None),
        ("\u0661", None),
        ("", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30_000),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30_000),
        ("Thu Jan  1 12:00:30 2026", 30_000),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30_000),
        ("Thu, 01 Jan 2026 14:00:30 +0200", 30_000),
        ("Thu, 01 Jan 2026 07:00:30 EST", 30_000),
        ("Thu, 01 Jan 2026 12:00:30 +9999", None),
        ("Mon, 01 Jan 0001 00:00:00 +1400", 0),
        ("Fri, 31 Dec 9999 23:59:59 -1200", LIMITS.retry_after_max_ms),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 3 ", 3000),
        ("0.25", 250),
        ("9" * 400, LIMITS.retry_after_max_ms),
        ("\u0661", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", None),
    ],
)
def test_seconds_without_a_clock(text, expected):
    assert retry_seconds_ms(text) == expected

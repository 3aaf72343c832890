"""P3: attempts are spread in time, and a fault of two seconds costs no event."""

from yoi.core.attempts import attempt_delay_ms
from yoi.limits import Limits


def test_each_wait_is_ten_times_the_last_with_jitter_and_an_end():
    limits = Limits(retry_first_ms=200, retry_max_ms=60_000)
    assert [attempt_delay_ms(n, 0.0, limits) for n in (2, 3, 4, 5, 400)] == [
        200, 2_000, 20_000, 60_000, 60_000,
    ]  # fmt: skip
    assert attempt_delay_ms(2, 0.5, limits) == 225


def test_three_attempts_outlast_two_seconds():
    assert sum(attempt_delay_ms(n, 0.0) for n in (2, 3)) > 2_000

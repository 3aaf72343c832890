import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.backoff import EqualJitter, FullJitter


def test_ceiling_doubles_until_the_bound_and_starts_again_after_reset():
    backoff = FullJitter(first_ms=500, max_ms=3000, rng=lambda: 0.999)
    ceilings = []
    for _ in range(5):
        ceilings.append(backoff.ceiling_ms)
        backoff.next_ms()
    assert ceilings == [500, 1000, 2000, 3000, 3000]
    backoff.reset()
    assert backoff.ceiling_ms == 500
    assert backoff.failures == 0


@given(
    first=st.floats(0.001, 1e6),
    factor=st.floats(1, 1e6),
    draws=st.lists(st.floats(0, 1, exclude_max=True), max_size=200),
)
def test_every_delay_lies_under_its_ceiling(first, factor, draws):
    feed = iter(draws)
    backoff = FullJitter(first_ms=first, max_ms=first * factor, rng=lambda: next(feed))
    for _ in draws:
        ceiling = backoff.ceiling_ms
        assert 0 <= backoff.next_ms() <= ceiling <= first * factor


def test_a_very_long_run_of_failures_stays_at_the_bound():
    backoff = FullJitter(first_ms=500, max_ms=60_000, rng=lambda: 0.5)
    for _ in range(100_000):
        backoff.next_ms()
    assert backoff.next_ms() == 30_000


@pytest.mark.parametrize(("first", "last"), [(0, 10), (-1, 10), (11, 10)])
def test_bounds_that_make_no_sense_are_refused(first, last):
    with pytest.raises(ValueError, match="first_ms"):
        FullJitter(first_ms=first, max_ms=last, rng=lambda: 0.0)


@given(draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
def test_equal_jitter_waits_at_least_half(draws):
    feed = iter(draws)
    backoff = EqualJitter(first_ms=500, max_ms=60_000, rng=lambda: next(feed))
    for _ in draws:
        ceiling = backoff.ceiling_ms
        assert ceiling / 2 <= backoff.next_ms() <= ceiling

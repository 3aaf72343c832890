"""Few at first, twice as many each time, never more than the bound."""

import pytest

from yoi.cluster.ramp import Ramp


@pytest.mark.parametrize(
    ("first", "most", "seen"),
    [(1, 32, [1, 2, 4, 8, 16, 32, 32]), (4, 6, [4, 6, 6]), (8, 2, [2, 2]), (1, 1, [1, 1])],
)
def test_it_doubles_up_to_its_bound_and_begins_again(first, most, seen):
    ramp, found = Ramp(first, most), []
    for _ in seen:
        found.append(ramp.now)
        ramp.grow()
    assert found == seen
    ramp.restart()
    assert ramp.now == seen[0]

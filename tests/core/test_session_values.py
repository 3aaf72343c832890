import pytest

from yoi.core.session_values import LAST_COUNT, SessionValues
from yoi.errors import ConnectionFailure


def test_numbers_grow_from_one():
    values = SessionValues({})
    assert [values.next_count() for _ in range(3)] == [1, 2, 3]


def test_no_number_is_given_that_json_readers_round():
    values = SessionValues({}, LAST_COUNT - 1)
    assert values.next_count() == 2**53 - 1
    with pytest.raises(ConnectionFailure) as full:
        values.next_count()
    assert full.value.code == "connection.counter"

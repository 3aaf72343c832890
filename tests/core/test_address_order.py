import dataclasses
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from yoi.core.address_order import AddressOrder
from yoi.limits import LIMITS

A4, B4, A6, B6 = map(ip_address, ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"))


def test_an_unknown_host_is_tried_as_the_resolver_said():
    assert AddressOrder().of("h", [A6, A4, B6], 0.0) == [A6, A4, B6]


def test_the_family_that_worked_comes_first_and_families_take_turns():
    order = AddressOrder()
    order.worked("h", A4)
    assert order.of("h", [A6, B6, A4, B4], 0.0) == [A4, A6, B4, B6]
    assert order.of("other", [A6, A4], 0.0) == [A6, A4]


def test_an_address_without_an_answer_comes_last_for_a_while():
    order = AddressOrder()
    order.failed("h", A4, 0.0)
    assert order.of("h", [A4, B4], 1.0) == [B4, A4]
    assert order.of("h", [A4, B4], LIMITS.address_doubt_ms / 1000) == [A4, B4]
    order.failed("h", A4, 0.0)
    order.worked("h", A4)
    assert order.of("h", [A4, B4], 1.0) == [A4, B4]


def test_what_is_remembered_is_bounded():
    order = AddressOrder(dataclasses.replace(LIMITS, address_hosts=2))
    for host in "abc":
        order.worked(host, A4)
    assert order.of("a", [A6, A4], 0.0) == [A6, A4]
    assert order.of("c", [A6, A4], 0.0) == [A4, A6]
    for n in range(LIMITS.name_addresses + 9):
        order.failed("c", ip_address(n), 0.0)
    assert len(order._hosts["c"].doubtful) == LIMITS.name_addresses


def test_of_addresses_without_an_answer_the_longest_ago_comes_first():
    order = AddressOrder()
    for now, address in enumerate([A4, B4, A6]):
        order.failed("h", address, float(now))
    order.failed("h", A4, 3.0)
    assert order.of("h", [A4, B4, A6], 4.0) == [B4, A6, A4]


ADDRESSES = st.lists(st.sampled_from([A4, B4, A6, B6]), unique=True)


@given(ADDRESSES, st.lists(st.tuples(st.booleans(), st.sampled_from([A4, B4, A6, B6]))))
def test_no_address_is_ever_left_out(addresses, seen):
    order = AddressOrder()
    for good, address in seen:
        if good:
            order.worked("h", address)
        else:
            order.failed("h", address, 0.0)
    assert sorted(map(str, order.of("h", addresses, 1.0))) == sorted(map(str, addresses))

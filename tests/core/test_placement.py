"""M3: what belongs together is one unit, and every unit comes to one machine that may run it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.core.placement import Member, Standing, Unit, leader, take, units_of

NAMES = [f"service:{letter}" for letter in "abcdef"] + [f"worker:{letter}" for letter in "xyz"]
MEMBERS = st.lists(
    st.builds(
        Member,
        st.sampled_from(NAMES),
        st.frozensets(st.sampled_from([*NAMES, "worker:gone"]), max_size=3),
        st.sampled_from([(), ("big-*",), ("small-1", "big-1")]),
        st.integers(1, 5),
    ),
    unique_by=lambda one: one.name,
)
MACHINES = {"s1": "big-1", "s2": "big-2", "s3": "small-1"}


@given(MEMBERS, st.randoms())
def test_units_part_what_is_decided_and_never_what_is_joined(members, random):
    units = units_of(members)
    assert sorted(name for one in units for name in one.members) == sorted(m.name for m in members)
    where = {name: one for one in units for name in one.members}
    for member in members:
        for other in member.joins & where.keys():
            assert where[other] is where[member.name]
        if member.runs_on:
            assert member.runs_on in where[member.name].runs_on
    assert sum(one.weight for one in units) == sum(one.weight for one in members)
    # The order in which it is said does not matter.
    random.shuffle(members)
    assert units_of(members) == units


@given(MEMBERS)
def test_a_unit_is_no_larger_than_what_joins_it(members):
    links = {one.name: one.joins for one in members}
    for unit in units_of(members):
        seen, todo = set(), [unit.name]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += [one for one in links[name] if one in links]
                todo += [one for one in links if name in links[one]]
        assert tuple(sorted(seen)) == unit.members


@settings(max_examples=50)
@given(
    MEMBERS,
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([*MACHINES, "dead"])),
    st.lists(st.sampled_from(list(MACHINES)), min_size=40, max_size=40),
)
def test_machines_that_act_in_any_order_come_to_one_owner_for_each_unit(members, owners, turns):
    units = units_of(members)
    owners = {name: one for name, one in owners.items() if one in MACHINES}
    for me in [*turns, *list(MACHINES) * 8]:
        wanted = take(units, Standing(me, MACHINES, owners))
        for name in wanted.give:
            assert owners.pop(name) == me
        for unit in (*wanted.now, *wanted.later):
            assert unit.may_run_on(MACHINES[me])
            for name in unit.members:
                assert owners.get(name, me) == me
                owners[name] = me
    for unit in units:
        able = {one for one, name in MACHINES.items() if unit.may_run_on(name)}
        assert {owners.get(name) for name in unit.members} <= (able or {None})
        assert len({owners.get(name) for name in unit.members}) == 1
    for me in MACHINES:
        calm = take(units, Standing(me, MACHINES, owners))
        assert calm == take((), Standing(me, MACHINES, owners))


def test_each_takes_its_share_and_what_is_barred_stays():
    units = units_of([Member(f"service:{number}") for number in range(9)])
    first = take(units, Standing("s1", MACHINES, {}, frozenset({"service:8"})))
    assert [len(first.now), len(first.later)] == [3, 5]
    owners = {unit.name: "s1" for unit in units}
    assert take(units, Standing("s2", MACHINES, owners)) == take((), Standing("s2", MACHINES, {}))
    assert leader(Unit(("service:1", "service:2")), {"service:2": "s2"}) == "s2"

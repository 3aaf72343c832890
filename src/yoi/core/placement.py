"""What belongs together on one machine, and which of it a machine should take. Sans-I/O.

    things that are decided ── units_of ──▶ units ── take ──▶ what this machine claims now,
                                                              later, and hands over

A *unit* is what services and workers that notify rules or tools join: it runs on one machine, so
that no notification, tool call or approval crosses machines. It is a function of what is decided
alone; machines that know another decision may see other units, and therefore each *member* (a
service or a worker) has an owner of its own, and the machine that holds the first member leads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Member:
    """A service or a worker, by the name of its log (`service:NAME`, `worker:NAME`)."""

    name: str
    joins: frozenset[str] = frozenset()
    """The members that it works with."""
    runs_on: tuple[str, ...] = ()
    """Patterns of machine names, one of which must fit; none: any machine."""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """Members that run on one machine."""

    members: tuple[str, ...]
    """Sorted; never empty."""
    weight: int = 1
    runs_on: frozenset[tuple[str, ...]] = frozenset()
    """What the members say of machines; all of it must fit."""

    @property
    def name(self) -> str:
        """Return the first member: the unit is called by it."""
        return self.members[0]

    def may_run_on(self, machine: str) -> bool:
        """Return whether every member may run on a machine of this name."""
        return all(
            any(fnmatchcase(machine, pattern) for pattern in patterns) for patterns in self.runs_on
        )


def units_of(members: Iterable[Member]) -> tuple[Unit, ...]:
    """Return the units, by name; members that are named and not there join nothing."""
    there = {one.name: one for one in members}
    leads = {name: name for name in there}

    def lead(name: str) -> str:
        while leads[name] != name:
            leads[name] = leads[leads[name]]
            name = leads[name]
        return name

    for one in there.values():
        for other in one.joins:
            if other in there:
                first, second = sorted((lead(one.name), lead(other)))
                leads[second] = first
    groups: dict[str, list[str]] = {}
    for name in sorted(there):
        groups.setdefault(lead(name), []).append(name)
    return tuple(
        Unit(
            tuple(names),
            sum(there[name].weight for name in names),
            frozenset(there[name].runs_on for name in names if there[name].runs_on),
        )
        for _, names in sorted(groups.items())
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Who there is and who has what, as one machine sees it.

    A machine is known by its session: a process that started again is another one.
    """

    me: str
    machines: Mapping[str, str]
    """The name of each machine that lives, by session; those that are leaving are not here."""
    owners: Mapping[str, str]
    """The session that owns each member; an owner that does not live is no owner."""
    barred: frozenset[str] = frozenset()
    """Members that no machine may take before a person lets it."""


@dataclass(frozen=True, slots=True)
class Take:
    """What a machine does next, as units."""

    now: tuple[Unit, ...]
    """Free, and within this machine's share."""
    later: tuple[Unit, ...]
    """Free, and beyond its share: it waits, so that a machine with less to do comes first."""
    give: tuple[str, ...]
    """Members to hand over: another machine leads their unit, or they may not run here."""


def take(units: Iterable[Unit], standing: Standing) -> Take:
    """Return what the machine `standing.me` does next. Nothing that runs is moved for balance."""
    me, machines, owners = standing.me, standing.machines, standing.owners
    units = tuple(units)
    name = machines.get(me)
    now: list[Unit] = []
    later: list[Unit] = []
    give: list[str] = []
    mine = [one for one in units if leader(one, owners) == me]
    load = sum(one.weight for one in mine)
    share = _share(units, me, machines)
    for unit in units:
        leads = leader(unit, owners)
        held = [one for one in unit.members if owners.get(one) == me]
        fits = name is not None and unit.may_run_on(name)
        if held and (leads != me or not fits):
            give += held
        elif not fits or standing.barred & set(unit.members):
            continue
        elif leads == me:
            if len(held) < len(unit.members) and not _others(unit, owners, me):
                now.append(unit)
        elif leads is None:
            if load + unit.weight <= share or not load:
                load += unit.weight
                now.append(unit)
            else:
                later.append(unit)
    return Take(tuple(now), tuple(later), tuple(give))


def leader(unit: Unit, owners: Mapping[str, str]) -> str | None:
    """Return the session that leads `unit`: the owner of its first member that has one."""
    return next((owners[one] for one in unit.members if one in owners), None)


def _others(unit: Unit, owners: Mapping[str, str], me: str) -> bool:
    return any(owners.get(one, me) != me for one in unit.members)


def _share(units: tuple[Unit, ...], me: str, machines: Mapping[str, str]) -> float:
    """Return the weight that falls to this machine where each takes its part of what it may."""
    share = 0.0
    for unit in units:
        able = [session for session, name in machines.items() if unit.may_run_on(name)]
        if me in able:
            share += unit.weight / len(able)
    return share

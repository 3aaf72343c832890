"""[[workers]] in yoi.toml: a fault in one table is that worker's own."""

import pytest

from yoi.limits import LIMITS
from yoi.runtime.worker_profiles import workers_of
from yoi.toml import parse_toml

ONE = b'[[workers]]\nname = "%s"\nmodel = "scripted"\nscript = [{ say = "x" }]\n'


def names(plan):
    return [profile.name for profile in plan.profiles]


def test_no_table_means_no_worker():
    assert workers_of(parse_toml(b"")).profiles == ()
    assert workers_of(parse_toml(b"[plugins]\n")).profiles == ()


def test_the_others_run():
    plan = workers_of(parse_toml(ONE % b"a" + b"[[workers]]\nname = 1\n" + ONE % b"b"))
    assert names(plan) == ["a", "b"]
    (fault,) = plan.faults
    assert (fault.name, fault.error.code) == ("workers[1]", "worker.profile")
    assert fault.error.fields["at"].startswith("workers[1]")


def test_of_two_with_one_name_neither_runs():
    plan = workers_of(parse_toml(ONE % b"a" + ONE % b"b" + ONE % b"a" + ONE % b"a"))
    assert names(plan) == ["b"]
    assert [fault.error.code for fault in plan.faults] == ["worker.duplicate"]


@pytest.mark.parametrize(
    "toml",
    [
        b"workers = 1\n",
        b"[workers]\nname = 'a'\n",
        b"[[workers]]\n" * (LIMITS.workers + 1),
    ],
)
def test_tables_that_are_none_make_no_worker_and_one_fault(toml):
    plan = workers_of(parse_toml(toml))
    assert plan.profiles == ()
    assert [(one.name, one.error.code) for one in plan.faults] == [
        ("workers", "enablement.malformed")
    ]

"""The hostile corpus is whole: what `make hostile` runs can be packaged and named."""

import ast

import pytest

from hostile.cases import corpus
from hostile.floods import floods
from hostile.handlers import FORGED
from hostile.world import Gateway, World


@pytest.fixture(scope="module")
def cases():
    return corpus()


def test_the_corpus_is_large_and_has_every_kind(cases):
    assert len(cases) >= 150
    kinds = {case.name.partition("_")[0] for case in cases}
    assert {"codec", "endless", "lie", "grow", "poison", "forge", "escape"} <= kinds
    assert sum(bool(case.component) for case in cases) >= 40
    assert all(bool(case.source) != bool(case.component) for case in cases)


def test_generated_plugins_are_python(cases):
    for case in cases:
        if case.name.startswith(("codec_", "endless_", "lie_", "grow_", "poison_", "forge_")):
            ast.parse(case.source)


def test_forged_answers_have_a_head_line():
    assert all("\n" in answer for answer in FORGED.values())


async def test_an_escape_is_what_a_silent_plugin_sent(tmp_path, cases):
    escape = next(case for case in cases if case.silent)
    world = World(tmp_path, [escape])
    world._seen = lambda name: {"good": 1, "handled": 1, "code": None}
    assert world._verdict(escape) == "harmless"
    world.gateway = Gateway()
    world.gateway.said[escape.name] = 1
    assert world._verdict(escape) == "escaped"


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("sandbox.deadline", "sandbox.deadline"),
        ("usage.internal", "untyped: usage.internal"),
        ("no.such", "untyped: no.such"),
    ],
)
def test_only_a_known_code_is_typed(tmp_path, cases, code, ended):
    world = World(tmp_path, [])
    world._seen = lambda name: {"good": 0, "handled": 1, "code": code}
    assert world._verdict(cases[0]) == ended


def test_nothing_at_all_is_untyped(tmp_path, cases):
    world = World(tmp_path, [])
    world._seen = lambda name: {"good": 0, "handled": 0, "code": None}
    assert world._verdict(cases[0]).startswith("untyped")
    world._seen = lambda name: None
    assert world._verdict(cases[0]).startswith("untyped")


@pytest.mark.parametrize("case", floods(80), ids=lambda case: case.name)
def test_each_flood_is_a_package_that_can_be_enabled(tmp_path, case, monkeypatch):
    for place in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(place, str(tmp_path / place))
    ast.parse(case.source)
    world = World(tmp_path, [case])
    assert world.write(80) == [case]
    assert world.found == {}

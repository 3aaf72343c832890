"""Each library whose inner parts Yoi relies on has an upper bound in the package's metadata."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
ASKED = {one.name: one for one in map(Requirement, PROJECT["project"]["dependencies"])}
RELIED_ON = sorted(
    path.stem.removeprefix("test_") for path in HERE.glob("test_*.py") if path != Path(__file__)
)


def test_the_libraries_are_known():
    assert {"h11", "uvicorn", "wasmtime", "websockets"} <= set(RELIED_ON)


@pytest.mark.parametrize("name", RELIED_ON)
def test_it_has_an_upper_bound(name):
    assert any(one.operator in ("<", "<=", "==") for one in ASKED[name].specifier)

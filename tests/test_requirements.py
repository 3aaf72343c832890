"""requirements/: each file pins and hashes all it names, and is what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What this checkout holds itself is installed from it, and in no lock.
OWN = [one for one in PROJECT["project"]["dependencies"] if not one.startswith("yoi-pdk")]
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
ASKED = {
    "run": OWN,
    "models": [*OWN, *(one for extra in EXTRAS.values() for one in extra)],
    "dev": [*OWN, *GROUPS["dev"], *PROJECT["build-system"]["requires"]],
    "bench": GROUPS["bench"],
    "peers": GROUPS["peers"],
    "fuzz": GROUPS["fuzz"],
    "lock": GROUPS["lock"],
    "dist": GROUPS["dist"],
}
ENTRY = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?P<marker> ; [^\\]+)?"
    r"(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)


def text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def locked(name: str) -> dict[str, set[str]]:
    """Return the versions of each package; there are two where a marker tells them apart."""
    versions: dict[str, set[str]] = {}
    for entry in ENTRY.finditer(text(name)):
        versions.setdefault(entry["name"], set()).add(entry["version"])
    return versions


def test_there_is_one_file_for_each_environment():
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_a_file_holds_nothing_but_pinned_and_hashed_packages(name):
    rest = ENTRY.sub("", text(name)).splitlines()
    assert [line for line in rest if not line.startswith("#")] == []


@pytest.mark.parametrize("name", ASKED)
def test_a_file_is_what_the_project_asks_for(name):
    have = locked(name)
    for asked in map(Requirement, ASKED[name]):
        versions = have.get(canonicalize_name(asked.name), set())
        assert versions, f"{asked.name} is missing in {name}.txt: make lock"
        wrong = [v for v in versions if not asked.specifier.contains(Version(v))]
        assert not wrong, f"{asked} but {wrong} in {name}.txt: make lock"


@pytest.mark.parametrize("name", ["dev", "bench"])
def test_what_is_tested_and_measured_is_what_runs(name):
    run = locked("run")
    assert {p: v for p, v in locked(name).items() if p in run and v != run[p]} == {}

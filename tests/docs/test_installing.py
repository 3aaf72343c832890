"""Installing: the pages, the container file and the units give the same commands, and they work.

`make dist` runs the container file's installing step with every Python (packaging/smoke.py).
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATE = (ROOT / "docs/how-to/operate.md").read_text(encoding="utf-8")
INSTALL = (ROOT / "docs/how-to/install.md").read_text(encoding="utf-8")
CONTAINER = (ROOT / "packaging/Containerfile").read_text(encoding="utf-8").splitlines()
UNIT = (ROOT / "packaging/systemd/yoi.service").read_text(encoding="utf-8")
AS_ROOT = re.findall(r"^# (.+)$", OPERATE, re.M)
YOI = Path(sys.executable).parent / "yoi"


def given(instruction: str) -> list[str]:
    """Return what the container file says after each `instruction`."""
    start = f"{instruction} "
    return [line.removeprefix(start) for line in CONTAINER if line.startswith(start)]


def test_the_container_takes_the_steps_of_the_page():
    steps = given("RUN")
    assert steps
    assert [step for step in steps if step not in AS_ROOT] == []
    assert "podman build -t yoi -f packaging/Containerfile ." in INSTALL


def test_the_container_runs_what_the_unit_runs():
    (program,), (arguments,) = given("ENTRYPOINT"), given("CMD")
    started = re.search(r"^ExecStart=(.+)$", UNIT, re.M)
    assert started is not None
    assert [*json.loads(program), *json.loads(arguments)] == shlex.split(started[1])
    (variables,) = given("ENV")
    assert set(variables.split()) <= set(re.findall(r"^Environment=(.+)$", UNIT, re.M))
    assert given("USER") == re.findall(r"^User=(.+)$", UNIT, re.M)
    made = next(step for step in given("RUN") if step.startswith("install -d"))
    (volumes,) = given("VOLUME")
    assert [word for word in made.split() if word[0] == "/"] == json.loads(volumes)


def test_the_steps_before_the_first_start_work(tmp_path):
    """Walks docs/how-to/operate.md with the folders moved; the account is this one."""

    def moved(text: str) -> str:
        return re.sub(r"/(?=(var|etc)/)", f"{tmp_path}/", text)

    alias = next(line for line in AS_ROOT if line.startswith("alias as-yoi="))
    prefix = shlex.split(shlex.split(alias)[1].partition("=")[2])
    assert prefix[:4] == ["sudo", "-u", "yoi", "env"]
    assert prefix[-1] == "/opt/yoi/bin/yoi"
    prefix = [moved(word) for word in prefix[3:-1]] + [str(YOI)]
    made = next(line for line in AS_ROOT if line.startswith("install -d"))
    for folder in (word for word in shlex.split(made) if word[0] == "/"):
        Path(moved(folder)).mkdir(parents=True, mode=0o700)
    table = re.search(r"^\[secrets\]\nkey_file = .+\n", OPERATE, re.M)
    assert table is not None
    space = tmp_path / "var/lib/yoi"
    (space / ".yoi").mkdir()
    (space / ".yoi/yoi.toml").write_text(moved(table[0]))

    def typed(line: str, *more: str, said: str = "") -> str:
        words = [*prefix, *shlex.split(moved(line))[1:], *more]
        done = subprocess.run(
            words, input=said, capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    _, trusts, stores = (line for line in AS_ROOT if line.startswith("as-yoi"))
    # Where there is no terminal, the two commands that `yoi trust` names.
    digest = json.loads(typed(trusts, "--show", "--json"))["digest"]
    typed(trusts, "--digest", digest)
    typed(stores, "--stdin", said="a-value-of-some-length")
    assert (tmp_path / "etc/yoi/secret.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "var/lib/yoi-decisions/decisions").is_dir()


def test_both_distributions_are_of_one_version():
    versions = {
        re.search(r'^version = "(.+)"$', path.read_text(encoding="utf-8"), re.M)[1]
        for path in (ROOT / "pyproject.toml", ROOT / "pdk/python/pyproject.toml")
    }
    assert len(versions) == 1
    licences = {path.read_text() for path in (ROOT / "LICENSE", ROOT / "pdk/python/LICENSE")}
    assert len(licences) == 1


def test_no_page_asks_an_index_for_what_is_on_none():
    """It would be another project's; an extra of what is installed already asks for none."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]
    asked = re.compile(
        r"\b(?:pip|pipx|uv)\b[^`\n]* install[^`\n]* ['\"]?yoi(?:[-_]pdk)?['\"]?(?=[ `\n]|$)"
    )
    assert asked.search("`pip install yoi-pdk pytest`")
    found = [page.name for page in pages if asked.search(page.read_text(encoding="utf-8"))]
    assert found == []

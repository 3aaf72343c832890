"""docs/how-to/embed.md is run as it stands: its commands, then its programs."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from yoi.cli.main import run
from yoi.limits import LIMITS
from yoi.runtime.paths import cache_dir
from yoi.runtime.workspace import operator_file
from yoi.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "embed.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (yoi .*)$", PAGE, re.M)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the page's workspace in it, made by the page's own commands."""
    cache = cache_dir()
    Sandbox(LIMITS, cache).warm_up()
    made = tmp_path_factory.mktemp("embed")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(made / name))
        patch.chdir(made)
        os.mkdir("shop")
        for command in COMMANDS:
            asked = ["--grant-requested", "--yes"] if "enable" in command else []
            assert run([*shlex.split(command)[1:], *asked]) == 0, command
        (worker,) = blocks("toml")
        with operator_file(Path("shop")).open("a") as file:
            file.write("\n" + worker + '\n[observation]\nlisten = "127.0.0.1:0"\n')
        yield made


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_programs_print_what_the_page_says(folder, number, capsys, monkeypatch):
    run(["trust", "--show", "--workspace", "shop", "--json"])
    digest = json.loads(capsys.readouterr().out)["digest"]
    assert run(["trust", "--digest", digest, "--workspace", "shop"]) == 0
    capsys.readouterr()
    program, expected = blocks("python")[number], blocks("text")[number]
    exec(compile(program, f"embed.md, program {number + 1}", "exec"), {"__name__": "embed"})
    printed = capsys.readouterr().out
    assert expected in printed
    if number < 2:
        assert printed == expected


def test_what_the_page_names_exists():
    import yoi
    from yoi.decisions.port import WholeWorkspace
    from yoi.host import BackendHost
    from yoi.runtime.service import Service
    from yoi.serving.host_settings import HostSettings
    from yoi.workers.worker import Worker

    assert BackendHost
    assert HostSettings
    assert WholeWorkspace
    rows = {
        "host.services": Service,
        "host.workers": Worker,
    }
    for row, kind in rows.items():
        (line,) = re.findall(rf"^\| `{re.escape(row)}` \|(.*)\|$", PAGE, re.M)
        for name in re.findall(r"`(?:service\.|worker\.)?(\w+)(?:\([^`]*\))?`", line):
            assert hasattr(kind, name), f"{row}: {name}"
    for name in re.findall(r"^\| `(?:await )?host\.(\w+)", PAGE, re.M):
        assert hasattr(yoi.Host, name)

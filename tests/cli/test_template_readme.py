"""A new plugin's README is followed, line by line, in its folder."""

import json
import re
import shlex
import signal
from contextlib import ExitStack

import pytest
from tests.cli.test_live import is_ready, running

from yoi.packages import TEMPLATES

pytestmark = pytest.mark.slow

_LINE = re.compile(r"^    (cd \.\. && )?(yoi .*?)(?:  +#.*)?$", re.M)
_AGREED = ("--grant-requested", "--yes")
"""What a person types at the questions."""


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_command_of_the_readme_works(template, yoi, workspace, monkeypatch):
    """The folder need not be called as the plugin is."""
    yoi("plugin", "new", template, "my plugin", "--id", "mine")
    folder, followed = workspace / "my plugin", []
    monkeypatch.chdir(folder)
    with ExitStack() as host:
        for leaves, line in _LINE.findall((folder / "README.md").read_text()):
            words = shlex.split(line)[1:]
            followed.append(words[:2])
            match words[:2]:
                case ["plugin", "dev"]:
                    host.callback(run(host, folder, *words, *_AGREED))
                case ["serve"]:
                    host.callback(run(host, workspace, *words, "--port", "0"))
                    (service,) = json.loads(yoi("service", "list", "--json").out)["services"]
                    assert (service["name"], service["lifecycle"]) == ("mine", "running")
                case ["plugin", "enable"]:
                    host.close()
                    assert leaves
                    monkeypatch.chdir(workspace)
                    assert yoi(*words, *_AGREED).status == 0
                case _:
                    ran = yoi(*words)
                    assert ran.status == 0, ran.err
    followed = [words for words in followed if words != ["service", "call"]]
    assert followed == [["plugin", one] for one in ("check", "dev", "enable")] + [["serve"]]


def run(host, folder, *words):
    """Run a host until its plugin runs; return what ends it."""
    child, until = host.enter_context(running(folder, *words))
    if not until(is_ready)["running"]:  # a slow machine: it starts behind that
        until(lambda value: "it has started" in str(value))

    def end():
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0

    return end

"""The operator's pages and units name what exists: figures, files, commands, options."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families
from tests.serving.streams import served

from yoi.cli.main import command_line
from yoi.cluster.kept import state_folder
from yoi.core.alerts import AlertBook
from yoi.decisions.folder import decisions_folder
from yoi.limits import LIMITS
from yoi.runtime.figures import RuntimeFigures
from yoi.runtime.services import Services
from yoi.runtime.worker_figures import WorkerFigures
from yoi.serving import keys, tokens
from yoi.serving.metrics import Metrics, UpstreamFigures
from yoi.testing import ManualClock
from yoi.tickets.reader import TicketReader

ROOT = Path(__file__).parents[2]
OPERATE = (ROOT / "docs/how-to/operate.md").read_text(encoding="utf-8")
APART = (ROOT / "docs/how-to/run-apart.md").read_text(encoding="utf-8")
UNITS = sorted((ROOT / "packaging/systemd").glob("*.service"))
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}


def command(words):
    """Return the command that `words` name and what is left of them; None where there is none."""
    level, rest = typer.main.get_command(command_line()), list(words)
    while rest and hasattr(level, "commands"):
        if rest[0].startswith("-") and level.invoke_without_command:
            break
        level = level.commands.get(rest[0])
        if level is None:
            return None, rest
        rest.pop(0)
    return level, rest


def unknown_options(found, rest):
    known = {name for one in found.params for name in one.opts}
    return [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]


async def test_every_figure_is_explained_and_no_other():
    class Listener:
        refused = {}
        open_sockets = 0

    async with served() as everything:
        runtime = RuntimeFigures(Services(), WorkerFigures(ManualClock()), AlertBook())
        text = Metrics(everything.hub, Listener(), UpstreamFigures, runtime).text().decode()
    made = {
        family.name for family in text_string_to_metric_families(text) if family.name[:4] == "yoi_"
    }
    named = set(re.findall(r"\b(yoi_[a-z_]+)", OPERATE))
    ending = r"_(total|bucket)$"
    assert {name for name in named if re.sub(ending, "", name) not in made} == set()
    told_elsewhere = {"yoi_build_info", "yoi_open_sockets", "yoi_refused_input"}
    assert {name for name in made if name not in named and f"{name}_total" not in named} == (
        told_elsewhere
    )


def test_every_file_that_is_kept_is_in_the_table():
    rows = re.findall(r"^\| `([\w.]+)", OPERATE, re.M)
    for name in ("yoi.toml", "journal.db", "state.db", "secrets.enc", "observed.db"):
        assert name in rows
    assert {keys.FILE_NAME, tokens.FILE_NAME} <= set(rows)
    account = decisions_folder({}, Path("/"))
    assert {TicketReader(Path(), LIMITS).root.name, state_folder().name, account.name} <= set(rows)


@pytest.mark.parametrize("line", re.findall(r"^\$ (yoi token [^#\n]+)", OPERATE + APART, re.M))
def test_token_commands_can_be_typed(line):
    found, rest = command(shlex.split(line)[1:])
    assert found is not None
    assert unknown_options(found, rest) == []


def test_units_are_there():
    assert {unit.stem for unit in UNITS} == {"yoi", "yoi-backend", "yoi-runtime"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_what_exists_and_gives_away_little(unit):
    pairs = [line.partition("=") for line in unit.read_text().splitlines() if "=" in line]
    settings = {key: value for key, _, value in pairs if not key.startswith("#")}
    assert {key: settings[key] for key in HARDENED} == HARDENED
    program, *words = shlex.split(settings["ExecStart"])
    assert program == "/opt/yoi/bin/yoi"
    assert settings["User"] != "root"
    workspace = words[words.index("--workspace") + 1]
    state, decisions = settings["StateDirectory"].split()
    assert workspace == f"/var/lib/{state}"
    # Beside the workspace: it must not decide for itself.
    assert f"Environment=YOI_STATE_HOME=/var/lib/{decisions}\n" in unit.read_text()
    assert not f"/var/lib/{decisions}/".startswith(f"{workspace}/")
    found, rest = command(words)
    if unit.stem == "yoi-backend" and found is None:
        pytest.skip("yoi backend is not there yet")
    assert unknown_options(found, rest) == []
    assert unit.name in OPERATE

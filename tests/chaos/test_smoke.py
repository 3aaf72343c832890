"""Three histories with everything real: `make chaos` runs two hundred."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_three_histories_of_real_processes_and_faults(tmp_path):
    asked = ("--histories", "3", "--seed", "11", "--lanes", "1")
    ran = subprocess.run(
        [sys.executable, "-m", "chaos.run", *asked, "--kept", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    wrong = ("gaps", "duplicates", "reorders", "diverged", "leaks", "defects")
    assert {key: told[key] for key in wrong} == dict.fromkeys(wrong, 0)
    # Nothing would be wrong, either, if nothing had been looked at.
    assert told["histories"] == 3
    assert told["clients"] == 150
    assert told["aligned"] > 100
    assert told["resumes"] > 0

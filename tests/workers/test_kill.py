"""T1: `kill -9` at random points leaves a valid history, never a torn item, never a lost one."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_hundred_kills_leave_a_valid_history(tmp_path):
    seed = random.randrange(2**32)
    done = subprocess.run(
        [sys.executable, "-m", "tests.workers.killer", tmp_path, "100", str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    summary = json.loads(done.stdout)
    assert summary["kills"] == 100
    assert summary["lost"] == 0
    assert summary["items"] > 100  # they were killed at work, not before it

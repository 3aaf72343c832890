"""The wrong clocks of `make cluster` are wrong by as much as they say."""

import time

from takeovers import clocks
from takeovers.clocks import Wrong


def test_monotonic_clocks_run_at_their_rate(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(clocks, "_real_gettime", lambda clock: now)
    wrong = Wrong(1.1, tmp_path / "clock")
    now = 110.0
    assert wrong.monotonic() == wrong.gettime(time.CLOCK_BOOTTIME) == 111.0
    armed = []
    monkeypatch.setattr(clocks, "_real_setitimer", lambda *given: armed.append(given))
    wrong.setitimer(0, 11.0)
    assert armed == [(0, 11.0 / 1.1, 0.0)]


def test_the_wall_clock_is_off_from_when_it_is_written(tmp_path, monkeypatch):
    file = tmp_path / "clock"
    file.write_text("0")
    now = 100.0
    monkeypatch.setattr(clocks, "_real_monotonic", lambda: now)
    monkeypatch.setattr(clocks, "_real_time", lambda: 5000.0)
    wrong = Wrong(1.0, file)
    assert wrong.time() == 5000.0
    file.write_text("-3600")
    now += 1
    assert wrong.time() == wrong.gettime(time.CLOCK_REALTIME) == 1400.0

"""How the console follows a stream (assets/watch.js), under node, on sockets and time of ours."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "src" / "yoi" / "backend" / "console" / "assets"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    shutil.copytree(ASSETS, folder / "assets")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return folder / "assets" / "watch.js"


@pytest.fixture
def ran(module):
    """Return what a scenario's steps led to, one answer each."""

    def run(*steps):
        done = subprocess.run(
            [NODE, str(HERE / "watch.mjs"), str(module)],
            input=json.dumps([steps]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)[0]

    return run


def event(number, suffix="", text=None):
    name = "snapshot" if suffix else "text_delta"
    payload = {"event": name, "text": text or f"{number}{suffix}"}
    envelope = {"cursor": f"c{number}", "event_id": f"e-{number}{suffix}", "payload": payload}
    return ["say", {"kind": "event", "envelope": envelope}]


def snapshot(number):
    return event(number, ".s")


def diagnostic(name, action, **rest):
    told = {"code": f"backend.{name}", "scope": "client", "retryable": True, "action": action}
    return ["say", {"kind": "diagnostic", "diagnostic": {**told, "message": name, **rest}}]


def resumed(number):
    return ["say", {"kind": "resumed", "cursor": f"c{number}"}]


def bookmark(number):
    return ["say", {"kind": "bookmark", "cursor": f"c{number}", "up_to_date": True}]


def states(answers):
    return [one["state"] for one in answers]


LIVE = (["open"], snapshot(1))


def test_a_snapshot_makes_it_live(ran):
    answers = ran(["open"], snapshot(1), event(2))
    assert states(answers) == ["connecting", "live", "live"]
    assert answers[-1]["heard"] == ["1.s", "2"]


def test_it_resumes_after_the_last_place_and_takes_nothing_twice(ran):
    answers = ran(
        *LIVE, event(2), ["close", 1006], ["pass", 1_000], ["open"], resumed(2), event(2),
        event(3), bookmark(3), event(4),
    )  # fmt: skip
    assert answers[3]["state"] == "waiting"
    assert answers[-1]["urls"] == ["/ws?", "/ws?c2"]
    assert answers[-1]["heard"] == ["1.s", "2", "3", "4"]
    assert states(answers)[-4:] == ["replaying", "replaying", "live", "live"]


def test_a_bookmark_moves_the_place(ran):
    answers = ran(*LIVE, bookmark(9), ["close", 1006], ["pass", 1_000])
    assert answers[-1]["urls"] == ["/ws?", "/ws?c9"]


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4001, 4002, 4004, 4499])
def test_these_codes_lead_to_another_attempt(ran, code):
    answers = ran(*LIVE, ["close", code], ["pass", 60_000])
    assert answers[2]["state"] == "waiting"
    assert len(answers[-1]["urls"]) > 1


@pytest.mark.parametrize("code", [4501, 4502, 4503, 4504, 4505, 4999])
def test_these_codes_are_final(ran, code):
    told = diagnostic("stream_closed", "stop", close_code=code)
    answers = ran(*LIVE, told, ["close", code], ["pass", 600_000], ["now"])
    assert answers[-1]["state"] == "closed"
    assert answers[-1]["code"] == code
    assert answers[-1]["why"] == "stream_closed"
    assert len(answers[-1]["urls"]) == 1


def test_the_server_says_how_long_to_wait_and_not_all_come_at_once(ran):
    told = diagnostic("shutdown", "reconnect", close_code=4001, retry_after_ms=7000)
    answers = ran(*LIVE, told, ["close", 4001], ["pass", 6_999])
    assert answers[3]["wait"] == 7250
    assert answers[-1]["state"] == "waiting"


def test_waits_grow_up_to_a_bound_and_a_good_connection_begins_anew(ran):
    steps = []
    for _ in range(9):
        steps += [["close", 1006], ["now"]]
    answers = ran(*steps)
    waits = [one["wait"] for one in answers[::2]]
    assert waits == [375, 750, 1500, 3000, 6000, 12_000, 15_000, 15_000, 15_000]
    assert answers[-2]["attempt"] == 9
    answers = ran(*steps, *LIVE, ["pass", 5_000], ["close", 1006])
    assert (answers[-1]["attempt"], answers[-1]["wait"]) == (1, 375)


def test_a_connection_that_breaks_at_once_was_not_a_good_one(ran):
    steps = [*LIVE, ["close", 4002], ["pass", 400]]
    answers = ran(*steps, *steps)
    assert answers[-2]["attempt"] == 2


def test_silence_ends_a_connection_and_any_frame_is_a_sign_of_life(ran):
    answers = ran(*LIVE, ["pass", 35_000], bookmark(1), ["pass", 35_000], ["pass", 1_000])
    assert states(answers)[2:] == ["live", "live", "live", "waiting"]
    assert answers[-1]["closed"] == [True]
    assert "36 s" in answers[-1]["why"]


def test_an_attempt_that_is_not_answered_is_given_up(ran):
    answers = ran(["pass", 14_999], ["pass", 1])
    assert states(answers) == ["connecting", "waiting"]


def test_a_refused_upgrade_asks_whether_the_session_is_over(ran):
    assert ran(["close", 1006])[-1]["state"] == "waiting"
    answers = ran(["probe", "expired"], ["close", 1006])
    assert (answers[-1]["state"], answers[-1]["code"]) == ("closed", 4505)


def test_lag_and_resync_are_notes(ran):
    lagged = diagnostic("lagged", "resync", dropped=12)
    answers = ran(*LIVE, lagged, snapshot(20), diagnostic("cursor_epoch_changed", "resync"))
    assert answers[-1]["notes"] == [
        ["lagged", 12, "lagged"],
        ["resynced", None, "the stream began anew"],
    ]
    assert answers[3]["heard"] == ["1.s", "20.s"]


def test_after_a_fresh_snapshot_the_same_numbers_are_new_events(ran):
    answers = ran(*LIVE, event(2), diagnostic("upstream_resync", "resync"), snapshot(0), event(2))
    assert answers[-1]["heard"] == ["1.s", "2", "0.s", "2"]


def test_a_lost_upstream_is_said_until_it_is_back(ran):
    lost = diagnostic("upstream_disconnect", "continue")
    answers = ran(*LIVE, lost, event(2), diagnostic("upstream_restored", "continue"))
    assert [one["lost"] for one in answers] == [False, False, True, True, False]
    assert answers[-1]["notes"] == []


@pytest.mark.parametrize(
    "bad",
    [
        ["raw", "{"],
        ["raw", "null"],
        ["say", {"kind": "event"}],
        ["say", {"kind": "event", "envelope": {"cursor": 1, "event_id": "e", "payload": {}}}],
        ["say", {"kind": "diagnostic", "diagnostic": {}}],
    ],
)
def test_what_cannot_be_read_begins_afresh_and_is_never_skipped(ran, bad):
    answers = ran(*LIVE, event(2), bad, ["pass", 1_000])
    assert answers[3]["state"] == "waiting"
    assert answers[-1]["urls"] == ["/ws?", "/ws?"]


def test_an_event_before_any_snapshot_is_not_shown(ran):
    answers = ran(["open"], event(5))
    assert answers[-1]["state"] == "waiting"
    assert answers[-1]["heard"] == []


def test_a_snapshot_that_cannot_be_read_is_not_taken_for_live(ran):
    envelope = {"cursor": "c", "event_id": "e.s", "payload": {"event": "unreadable"}}
    answers = ran(["open"], ["say", {"kind": "event", "envelope": envelope}])
    assert answers[-1]["state"] == "waiting"


def test_frames_of_a_newer_server_are_ignored(ran):
    assert ran(*LIVE, ["say", {"kind": "news", "x": 1}])[-1]["state"] == "live"


def test_a_socket_that_was_let_go_says_nothing_any_more(ran):
    answers = ran(*LIVE, ["close", 1006], ["pass", 400], ["old", snapshot(7)[1]])
    assert answers[-1]["heard"] == ["1.s"]


def test_a_person_need_not_wait(ran):
    answers = ran(["close", 1006], ["now"])
    assert answers[-1]["state"] == "connecting"
    assert len(answers[-1]["urls"]) == 2


def test_after_stop_nothing_happens(ran):
    answers = ran(*LIVE, ["stop"], ["pass", 600_000])
    assert answers[-1]["state"] == "closed"
    assert answers[-1]["closed"] == [True]

"""What was decided is kept apart from every workspace, whole or not at all."""

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from yoi.decisions.file import operator_file
from yoi.decisions.folder import decisions_folder
from yoi.decisions.port import AccountDecisions, GivenDigest, WholeWorkspace
from yoi.decisions.recording import enable
from yoi.decisions.store import DecisionStore
from yoi.errors import PackageError, TrustError
from yoi.limits import LIMITS
from yoi.packages import EnabledEntry
from yoi.types import InstanceName

WORKER = {"name": "agent", "model": "openai:m", "max_turns": 5}


@pytest.fixture
def workspace(tmp_path) -> Path:
    folder = tmp_path / "w"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path) -> DecisionStore:
    return DecisionStore(tmp_path / "state" / "decisions")


def file_of(store: DecisionStore) -> Path:
    (path,) = store.folder.glob("*.json")
    return path


def test_nothing_is_decided_and_nothing_made_until_somebody_decides(store, workspace):
    assert store.read(workspace) is None
    assert store.entries(workspace) == {}
    assert not store.folder.exists()


def test_what_is_recorded_is_read_back(store, workspace):
    store.record(workspace, {"worker:agent": WORKER})
    assert DecisionStore(store.folder).entries(workspace) == {"worker:agent": WORKER}
    assert store.read(workspace).reviewed
    assert file_of(store).stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700
    store.record(workspace, {"worker:agent": None})
    assert store.entries(workspace) == {}


def test_a_workspace_is_its_real_path(store, workspace, tmp_path):
    store.record(workspace, {"worker:agent": WORKER})
    (tmp_path / "link").symlink_to(workspace)
    assert store.entries(tmp_path / "link") == {"worker:agent": WORKER}
    workspace.rename(tmp_path / "moved")
    assert store.entries(tmp_path / "moved") == {}


def test_the_id_is_random_and_stays(store, workspace, tmp_path):
    made = store.identity(workspace)
    assert made == store.identity(workspace)
    assert not store.read(workspace).reviewed
    store.record(workspace, {"worker:agent": WORKER})
    assert store.identity(workspace) == made
    (tmp_path / "other").mkdir()
    assert store.identity(tmp_path / "other") != made


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"format": 2, "workspace": "/x", "id": "0"}',
        b'{"format": 1, "workspace": "/x", "id": "00000000000000000000000000000000"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_decides_nothing_and_names_the_next_command(store, workspace, damage):
    store.record(workspace, {"worker:agent": WORKER})
    file_of(store).write_bytes(damage)
    for act in (
        lambda: store.entries(workspace),
        lambda: store.identity(workspace),
        lambda: store.record(workspace, {}),
    ):
        with pytest.raises(TrustError) as caught:
            act()
        assert caught.value.code == "trust.damaged"
        assert "yoi trust --forget" in caught.value.hint
    assert store.forget(workspace)
    assert store.entries(workspace) == {}
    assert not store.forget(workspace)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_or_folder_that_others_can_reach_is_refused(store, workspace, mode):
    store.record(workspace, {"worker:agent": WORKER})
    file_of(store).chmod(mode)
    with pytest.raises(TrustError, match="open to other accounts") as caught:
        store.entries(workspace)
    assert caught.value.code == "trust.damaged"
    file_of(store).chmod(0o600)
    store.folder.chmod(0o700 | mode & 0o077)
    with pytest.raises(TrustError) as caught:
        store.entries(workspace)
    assert caught.value.code == "trust.folder"
    store.folder.chmod(0o700)


def test_a_folder_inside_the_workspace_is_refused(workspace):
    store = DecisionStore(workspace / "state")
    for act in (lambda: store.entries(workspace), lambda: store.record(workspace, {})):
        with pytest.raises(TrustError, match="inside the workspace") as caught:
            act()
        assert caught.value.code == "trust.folder"
    assert not store.folder.exists()


def test_a_folder_that_is_a_link_is_refused(tmp_path, workspace):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(TrustError, match="is a link"):
        DecisionStore(tmp_path / "link").entries(workspace)
    (tmp_path / "into").symlink_to(workspace)
    with pytest.raises(TrustError, match="inside the workspace"):
        DecisionStore(tmp_path / "into" / "state").record(workspace, {})


def test_a_link_in_the_place_of_the_file_is_refused(store, workspace, tmp_path):
    store.record(workspace, {"worker:agent": WORKER})
    path = file_of(store)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrustError):
        store.entries(workspace)


def test_too_much_is_refused_and_changes_nothing(store, workspace):
    small = DecisionStore(store.folder, replace(LIMITS, decisions_bytes=1_000))
    small.record(workspace, {"worker:agent": WORKER})
    with pytest.raises(TrustError) as caught:
        small.record(workspace, {"worker:b": {"instructions": "x" * 2_000}})
    assert caught.value.code == "trust.full"
    assert small.entries(workspace) == {"worker:agent": WORKER}


def test_workspaces_that_are_gone_make_room(store, tmp_path):
    few = DecisionStore(store.folder, replace(LIMITS, decided_workspaces=2))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        few.record(tmp_path / name, {"worker:agent": WORKER})
    (tmp_path / "c").mkdir()
    with pytest.raises(TrustError) as caught:
        few.record(tmp_path / "c", {})
    assert caught.value.code == "trust.full"
    (tmp_path / "a").rmdir()
    few.record(tmp_path / "c", {"worker:agent": WORKER})
    assert few.entries(tmp_path / "b") == {"worker:agent": WORKER}


def _record(folder: Path, workspace: Path, number: int) -> None:
    for step in range(10):
        DecisionStore(folder).record(workspace, {f"worker:{number}-{step}": WORKER})


def test_processes_that_decide_at_once_lose_nothing(store, workspace):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record, args=(store.folder, workspace, n)) for n in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert [one.exitcode for one in workers] == [0, 0, 0]
    assert len(store.entries(workspace)) == 30


def test_a_narrowing_without_the_lock_is_refused_and_changes_nothing(store, workspace):
    store.record(workspace, {"worker:agent": WORKER})
    hasty = DecisionStore(store.folder, replace(LIMITS, secret_lock_ms=1))
    with store.undisturbed(workspace), hasty.undisturbed(workspace) as found:
        assert found.entries == {"worker:agent": WORKER}
        with pytest.raises(TrustError) as caught:
            found.narrow({"worker:agent": None})
    assert caught.value.code == "trust.busy"
    assert store.entries(workspace) == {"worker:agent": WORKER}


def test_enable_copies_writes_and_decides_under_one_lock(store, workspace):
    hasty = DecisionStore(store.folder, replace(LIMITS, secret_lock_ms=1))
    entry = EnabledEntry(
        reference="project:echo",
        name=InstanceName("echo"),
        version="1.0.0",
        digest="sha256:" + "0" * 64,
    )

    def copying():
        with hasty.undisturbed(workspace) as found, pytest.raises(TrustError, match="another"):
            found.narrow({})
        raise PackageError("package.digest", "it has changed")

    with pytest.raises(PackageError):
        enable(workspace, entry, store, copying)
    assert store.entries(workspace) == {}
    assert not operator_file(workspace).exists()


@pytest.mark.parametrize(
    ("act", "left"),
    [
        ("another version", ["1"]),
        ("the same with other grants", []),
        ("nothing", []),
        ("a narrowing", []),
    ],
)
def test_what_was_decided_before_stays_only_until_a_person_decides_about_it(
    act, left, store, workspace
):
    """A version from before may run again; its grants may not come back where they were taken."""
    entry = "plugin:echo"
    versions = {number: {"digest": number, "config": {}} for number in ("1", "2", "3")}
    store.record(workspace, {entry: versions["2"]})
    with store.undisturbed(workspace) as found:
        found.keep_earlier({entry: versions["1"]})
    match act:
        case "another version":
            store.record(workspace, {entry: versions["3"], "worker:b": WORKER})
        case "the same with other grants":
            store.record(workspace, {entry: {"digest": "2", "config": {"a": 1}}})
        case "nothing":
            store.record(workspace, {entry: None})
        case _:
            with store.undisturbed(workspace) as found:
                found.narrow({entry: {"digest": "2"}})
    with store.undisturbed(workspace) as found:
        assert [one["digest"] for one in found.earlier.values()] == left
    assert ("earlier" in json.loads(file_of(store).read_text())) == bool(left)


def test_a_narrowing_leaves_what_it_does_not_name(store, workspace):
    account = AccountDecisions(store)
    store.record(workspace, {"worker:agent": WORKER, "worker:b": WORKER})
    with account.undisturbed(workspace) as decisions:
        decisions.narrow(decisions.in_force({"worker:b": WORKER}))
    assert store.entries(workspace) == {"worker:b": WORKER}


def test_a_digest_decides_one_content_and_nothing_that_comes_later(store, workspace):
    from yoi.decisions.entries import digest

    file = {"worker:agent": WORKER}
    given = GivenDigest(digest(file), store)
    assert given.in_force(workspace, file).entries == file
    more = {**file, "worker:b": WORKER}
    assert given.in_force(workspace, more).entries == file
    with given.undisturbed(workspace) as decisions:
        decisions.narrow(decisions.in_force({}))
    assert given.in_force(workspace, file).entries == {}
    with pytest.raises(TrustError) as caught:
        GivenDigest(digest(more), store).in_force(workspace, file)
    assert caught.value.code == "trust.changed"
    assert caught.value.fields["found"] == digest(file)


def test_trusting_the_workspace_trusts_all_of_it(workspace):
    assert WholeWorkspace().in_force(workspace, {"a": {}}).entries == {"a": {}}
    assert WholeWorkspace().identity(workspace) is None


def test_where_decisions_are_kept(tmp_path):
    home = Path("/home/me")
    assert decisions_folder({}, home) == home / ".local/state/yoi/decisions"
    assert decisions_folder({"XDG_STATE_HOME": "relative"}, home) == decisions_folder({}, home)
    assert decisions_folder({"XDG_STATE_HOME": "/s"}, home) == Path("/s/yoi/decisions")
    both = {"XDG_STATE_HOME": "/s", "YOI_STATE_HOME": "/var/lib/yoi"}
    assert decisions_folder(both, home) == Path("/var/lib/yoi/decisions")
    with pytest.raises(TrustError):
        decisions_folder({"YOI_STATE_HOME": "relative"}, home)


def test_the_file_can_be_read_by_a_person(store, workspace):
    store.record(workspace, {"worker:agent": WORKER})
    said = json.loads(file_of(store).read_text())
    assert said["workspace"] == os.path.realpath(workspace)
    assert said["entries"] == {"worker:agent": WORKER}


def rewritten(store, workspace):
    store.record(workspace, {"plugin:p": {"name": "p", "digest": "another"}})


def damaged(store, workspace):
    next(store.folder.glob("*.json")).write_bytes(b"{")


def truncated(store, workspace):
    next(store.folder.glob("*.json")).write_bytes(b"")


def opened_to_others(store, workspace):
    next(store.folder.glob("*.json")).chmod(0o644)


def folder_opened(store, workspace):
    store.folder.chmod(0o755)


def folder_moved(store, workspace):
    store.folder.rename(store.folder.with_name("elsewhere"))


def folder_linked(store, workspace):
    folder_moved(store, workspace)
    store.folder.symlink_to(store.folder.with_name("elsewhere"))


def removed(store, workspace):
    store.forget(workspace)


def a_fifo(store, workspace):
    path = next(store.folder.glob("*.json"))
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change",
    [
        rewritten,
        damaged,
        truncated,
        opened_to_others,
        folder_opened,
        folder_moved,
        folder_linked,
        removed,
        a_fifo,
    ],
)
def test_whatever_happens_to_the_decisions_is_seen_by_looking(store, workspace, change):
    decisions = AccountDecisions(store)
    store.record(workspace, {"plugin:p": {"name": "p", "digest": "one"}})
    before = decisions.signature(workspace)
    store.queue(workspace, "00001", "digest")
    assert decisions.signature(workspace) == before, "a queued work item decides no entry"
    change(store, workspace)
    assert decisions.signature(workspace) != before

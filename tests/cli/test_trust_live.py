"""K1 with a real `yoi serve`: what is pending is said, and a decision reaches it at once."""

import json

import pytest
from tests.cli.test_live import is_ready, running
from tests.cli.test_watch_live import WORKER

from yoi.decisions.store import DecisionStore
from yoi.testing.trusting import trust_workspace

pytestmark = pytest.mark.slow

OTHER = '\n[[workers]]\nname = "other"\nmodel = "scripted"\nscript = [{ say = "x" }]\n'


def is_pending(value):
    return value["event"] == "diagnostic" and value["diagnostic"]["code"] == "trust.pending"


def test_a_running_host_says_what_is_pending_and_takes_a_decision_at_once(yoi, workspace):
    file = workspace / ".yoi" / "yoi.toml"
    file.parent.mkdir()
    file.write_text(WORKER)

    def names(answer):
        return [worker["name"] for worker in answer["workers"]]

    def listed():
        return json.loads(yoi("worker", "list", "--json").out)

    with running(workspace, "serve") as (_, until):
        said = until(is_pending)["diagnostic"]
        assert (said["scope"], said["hint"]) == ("worker:triage", "review it with: yoi trust")
        until(is_ready)
        assert names(listed()) == []
        assert [one["entry"] for one in listed()["pending"]] == ["worker:triage"]
        assert "worker triage (new)" in yoi("service", "list").err
        digest = json.loads(yoi("trust", "--show", "--json").out)["digest"]
        ran = yoi("trust", "--digest", digest)
        assert ran.status == 0, ran.err
        # Nothing was waited for: the command has told the host.
        assert names(listed()) == ["triage"]
        assert listed()["pending"] == []
        file.write_text(WORKER + OTHER)
        assert until(is_pending)["diagnostic"]["scope"] == "worker:other"
        assert names(listed()) == ["triage"]
        assert json.loads(yoi("trust", "--forget", "--json").out)["forgotten"]
        assert names(listed()) == []


def test_decisions_that_are_removed_or_damaged_while_a_host_runs_are_noticed(yoi, workspace):
    file = workspace / ".yoi" / "yoi.toml"
    file.parent.mkdir()
    file.write_text(WORKER)
    trust_workspace(workspace)
    store = DecisionStore.of_account()

    def kept():
        """Return the file with what was decided for this workspace, not for another test's."""
        found = [path for path in store.folder.glob("*.json") if str(workspace) in path.read_text()]
        return found[0]

    def is_gone(value):
        return is_pending(value) and value["diagnostic"]["scope"] == "worker:triage"

    def is_distrusted(value):
        code = value["event"] == "diagnostic" and value["diagnostic"]["code"]
        return code == "alert.opened" and "trust.damaged" in value["diagnostic"]["message"]

    with running(workspace, "serve") as (_, until):
        until(is_ready)
        assert [one["name"] for one in json.loads(yoi("worker", "list", "--json").out)["workers"]]
        kept().unlink()
        until(is_gone)
        assert json.loads(yoi("worker", "list", "--json").out)["workers"] == []
        trust_workspace(workspace)
        kept().write_bytes(kept().read_bytes()[:-20])
        until(is_distrusted)


def test_a_container_is_given_the_digest(yoi, workspace):
    """And decides nothing for the account by it."""
    file = workspace / ".yoi" / "yoi.toml"
    file.parent.mkdir()
    file.write_text(WORKER)
    digest = json.loads(yoi("trust", "--show", "--json").out)["digest"]
    with running(workspace, "serve", "--trust-digest", digest) as (_, until):
        until(is_ready)
        found = json.loads(yoi("worker", "list", "--json").out)
        assert [worker["name"] for worker in found["workers"]] == ["triage"]
        assert found["pending"] == []
    assert json.loads(yoi("trust", "--show", "--json").out)["in_force"] == ["observation"]


def test_a_workspace_may_be_trusted_as_a_whole_and_that_is_said(yoi, workspace):
    file = workspace / ".yoi" / "yoi.toml"
    file.parent.mkdir()
    file.write_text(WORKER)
    with running(workspace, "serve", "--trust-workspace") as (_, until):
        until(is_ready)
        found = json.loads(yoi("worker", "list", "--json").out)
        assert [worker["name"] for worker in found["workers"]] == ["triage"]
        assert "WARNING" not in yoi("worker", "list").err
    file.write_text("listen = [[")
    ran = yoi("serve", "--trust-workspace")
    assert ran.status == 1
    assert "WARNING: --trust-workspace" in ran.err

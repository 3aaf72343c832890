"""Paired senders are kept by the account: outside the workspace, bounded, and closed by default."""

from dataclasses import replace

import pytest

from yoi.decisions.paired import PairedSender, PairedSenders
from yoi.errors import TrustError, WorkerError
from yoi.limits import LIMITS


def sender(name, rule="r", plugin="chat"):
    return PairedSender(plugin=plugin, rule=rule, sender=name, worker="w", at_ms=1)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("YOI_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "ws").mkdir()
    return PairedSenders.of(tmp_path / "ws", replace(LIMITS, paired_senders=2))


def test_they_are_kept_once_each_and_forgotten(store, tmp_path):
    for one in ("ann", 7, "ann"):
        store.add(sender(one))
    again = PairedSenders.of(tmp_path / "ws")
    again.reload()
    assert [one.sender for one in again.of_plugin("chat")] == [7, "ann"]
    with pytest.raises(WorkerError) as caught:
        store.add(sender("third"))
    assert caught.value.code == "worker.pairing"
    store.add(sender("third", plugin="other"))
    assert [one.sender for one in store.remove("chat", "7")] == [7]
    assert store.remove("chat", "7") == []
    assert [one.sender for one in store.of_plugin("chat")] == ["ann"]
    elsewhere = PairedSenders.of(tmp_path)
    elsewhere.reload()
    assert elsewhere.of_plugin("chat") == ()


@pytest.mark.parametrize("damage", [b"{", b'[{"plugin": 3}]'])
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(store, damage):
    store.add(sender("ann"))
    (kept,) = store._path.parent.glob("*.json")
    kept.write_bytes(damage)
    fresh = PairedSenders(kept, store._workspace)
    for act in (fresh.reload, lambda: fresh.add(sender("eve"))):
        with pytest.raises(TrustError) as caught:
            act()
        assert caught.value.code == "trust.damaged"
    assert fresh.of_plugin("chat") == ()
    assert kept.read_bytes() == damage


def test_a_file_that_others_can_read_is_not_believed(store):
    store.add(sender("ann"))
    store._path.chmod(0o644)
    with pytest.raises(TrustError):
        store.reload()

"""N6: `yoi secret nonces` shows what is kept, and says where to go on after a loss."""

import json

import pytest

from yoi.decisions.nonces import nonce_store
from yoi.errors import SignatureError


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("YOI_STATE_HOME", str(tmp_path / "state"))
    made = tmp_path / "w"
    (made / ".yoi").mkdir(parents=True)
    return made


def test_what_is_kept_is_shown(yoi, folder):
    nonce_store(folder).next("trade", "us", 1_000)
    assert "trade has signed nothing" not in yoi("secret", "nonces", "trade", "-w", folder).out
    (row,) = json.loads(yoi("secret", "nonces", "trade", "-w", folder, "--json").out)["nonces"]
    assert row["unit"] == "us"
    assert row["workspace"] == row["account"] > 1_000_000
    assert "signed nothing" in yoi("secret", "nonces", "other", "-w", folder).out


def test_after_a_loss_the_printed_command_works(yoi, folder):
    used = nonce_store(folder).next("trade", "ms", 1_000)
    (folder / ".yoi/nonces.json").unlink()
    assert "lost" in yoi("secret", "nonces", "trade", "-w", folder).out
    with pytest.raises(SignatureError) as caught:
        nonce_store(folder).next("trade", "ms", 1_000)
    command = (caught.value.hint or "").split(",")[0].replace(" N", f" {used}").split()
    assert command[0] == "yoi"
    yoi(*command[1:], "-w", folder)
    assert nonce_store(folder).next("trade", "ms", 0) > used

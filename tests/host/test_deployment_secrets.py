"""M4: the secrets of a host that goes by a publication: published, rotated, and its own."""

from pathlib import Path

import pytest

from yoi.cluster.rotated import RotatedSecrets
from yoi.decisions.port import WholeWorkspace
from yoi.errors import SecretError
from yoi.host.deployment_secrets import DeploymentSecrets
from yoi.journal.memory import MemoryJournal
from yoi.secrets import open_store
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.workspace import Settings

KEY = DeploymentKey(b"k" * 32)


class Nobody:
    def passphrase(self):
        raise AssertionError

    new_passphrase = passphrase


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "w"
    (folder / ".yoi").mkdir(parents=True)
    (folder / ".yoi/yoi.toml").write_text('[secrets]\nstore = "file"\nkey_file = "../key"\n')
    return folder


def own_store(workspace: Path):
    return open_store(
        workspace, Settings.parse({"store": "file", "key_file": "../key"}, workspace), Nobody()
    )


async def test_what_is_published_goes_first_and_what_is_rotated_before_that(workspace):
    store = own_store(workspace)
    store.set("shared", "own value of it")
    store.set("own", "only here")
    journal, published = MemoryJournal(), {"shared": "published value"}

    def host():
        rotated = RotatedSecrets(journal, KEY)
        return DeploymentSecrets(workspace, WholeWorkspace(), lambda: published, rotated)

    one, other = host(), host()
    assert await one.refresh() == {"shared", "own"}
    assert (one.get("shared").reveal(), one.get("own").reveal()) == ("published value", "only here")
    assert one.secret("none") is None
    with pytest.raises(SecretError):
        one.get("none")
    # An answer brings a new value: committed when `replace` returns, and there for the next host.
    await one.replace("shared", "rotated value")
    assert (await journal.status("secrets")).records == 1
    assert await other.moved()
    assert "shared" in await other.refresh()
    assert other.get("shared").reveal() == one.get("shared").reveal() == "rotated value"
    # The machine's own ones are kept where they were.
    await one.replace("own", "rotated here")
    assert own_store(workspace).read("own").secret.reveal() == "rotated here"
    assert own_store(workspace).read("shared").secret.reveal() == "own value of it"
    # Published anew, and published no more.
    published["shared"] = "new value"
    assert await other.refresh() == {"shared", "own"}
    assert other.get("shared").reveal() == "new value"
    published.clear()
    assert await other.refresh() == {"shared"}
    assert other.get("shared").reveal() == "own value of it"


async def test_a_rotation_that_cannot_be_committed_is_not_held(workspace):
    journal = MemoryJournal()
    secrets = DeploymentSecrets(
        workspace, WholeWorkspace(), lambda: {"shared": "first"}, RotatedSecrets(journal, KEY)
    )
    await secrets.refresh()
    await journal.close()
    with pytest.raises(Exception, match="closed"):
        await secrets.replace("shared", "second")
    assert secrets.get("shared").reveal() == "first"
    assert not await secrets.moved()
    with pytest.raises(SecretError) as caught:
        await secrets.refresh()
    assert caught.value.code == "secret.io"

"""W9 on the runtime's side: the host holds the operator's secrets, and says when it cannot."""

import pytest

from yoi.errors import SecretError
from yoi.secrets import Settings, open_store
from yoi.serving.secrets import WorkspaceSecrets


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "w" / ".yoi").mkdir(parents=True)
    return tmp_path / "w"


def store_of(workspace):
    return open_store(workspace, Settings.load(workspace), prompt=None)


async def test_a_secret_set_from_outside_is_there_after_a_refresh(workspace):
    secrets = WorkspaceSecrets(workspace)
    await secrets.refresh()
    with pytest.raises(SecretError) as missing:
        secrets.get("slack-app")
    assert missing.value.code == "secret.missing"
    store_of(workspace).set("slack-app", "xapp-1")
    await secrets.refresh()
    assert secrets.get("slack-app").reveal() == "xapp-1"
    assert "xapp-1" not in repr(secrets.get("slack-app"))


async def test_a_rotated_secret_is_durable(workspace):
    store_of(workspace).set("oauth", "old")
    secrets = WorkspaceSecrets(workspace)
    await secrets.refresh()
    await secrets.replace("oauth", "new")
    assert await secrets.refresh() == {"oauth"}  # a connection may wait for just that
    assert await secrets.refresh() == frozenset()
    assert secrets.get("oauth").reveal() == "new"
    again = WorkspaceSecrets(workspace)
    await again.refresh()
    assert again.get("oauth").reveal() == "new"


async def test_before_the_first_refresh_nothing_is_there_and_nothing_can_be_replaced(workspace):
    secrets = WorkspaceSecrets(workspace)
    with pytest.raises(SecretError):
        secrets.get("x")
    with pytest.raises(SecretError):
        await secrets.replace("x", "y")


async def test_a_store_that_needs_a_person_says_so(workspace):
    (workspace / ".yoi" / "yoi.toml").write_text('[secrets]\nunlock = "passphrase"\n')
    (workspace / ".yoi" / "secrets.enc").write_bytes(b"sealed by somebody")
    secrets = WorkspaceSecrets(workspace)
    with pytest.raises(SecretError) as refused:
        await secrets.refresh()
    with pytest.raises(SecretError) as later:
        secrets.get("x")
    assert later.value is refused.value

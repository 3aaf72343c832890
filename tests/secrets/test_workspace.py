"""Which store a workspace uses; nothing is guessed and no key comes from the environment."""

from pathlib import Path

import pytest

from yoi.errors import SecretError
from yoi.secrets import (
    EncryptedFileStore,
    KeyringStore,
    Settings,
    StoreKind,
    UnlockBy,
    default_key_file,
    open_store,
)
from yoi.secrets import workspace as module


class Nobody:
    """Is not to be asked."""

    def passphrase(self):
        raise AssertionError("asked")

    new_passphrase = passphrase


def write(folder, text):
    (folder / ".yoi").mkdir()
    (folder / ".yoi" / "yoi.toml").write_text(text)
    return Settings.load(folder)


def test_without_a_word_it_is_the_file_with_the_accounts_key(tmp_path):
    assert Settings.load(tmp_path) == Settings()
    assert isinstance(open_store(tmp_path, Settings(), Nobody()), EncryptedFileStore)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[serve]\nport = 1\n", Settings()),
        ('[secrets]\nstore = "keyring"\n', Settings(store=StoreKind.KEYRING)),
        ('[secrets]\nunlock = "passphrase"\n', Settings(unlock=UnlockBy.PASSPHRASE)),
        ('[secrets]\nkey_file = "/etc/yoi/key"\n', Settings(key_file=Path("/etc/yoi/key"))),
    ],
)
def test_what_is_written(tmp_path, text, expected):
    assert write(tmp_path, text) == expected


def test_a_relative_key_file_is_below_the_workspace(tmp_path):
    assert write(tmp_path, '[secrets]\nkey_file = "k"\n').key_file == tmp_path / "k"


@pytest.mark.parametrize(
    "text",
    [
        "secrets = 1\n",
        '[secrets]\nstore = "env"\n',
        '[secrets]\nkey = "abc"\n',
        "[secrets]\nstore = 1\n",
        '[secrets]\nkey_file = ""\n',
        '[secrets]\nunlock = "passphrase"\nkey_file = "k"\n',
        '[secrets]\nstore = "keyring"\nunlock = "passphrase"\n',
        "[secrets\n",
        "[secrets]\npassphrase = 'x'\n",
    ],
)
def test_what_is_not_allowed(tmp_path, text):
    with pytest.raises(SecretError) as caught:
        write(tmp_path, text)
    assert caught.value.code == "secret.settings"


def test_a_keyring_that_is_not_there_is_an_error_not_a_file(tmp_path, monkeypatch):
    settings = Settings(store=StoreKind.KEYRING)
    monkeypatch.setattr(module, "system_keyring", lambda: None)
    with pytest.raises(SecretError) as caught:
        open_store(tmp_path, settings, Nobody())
    assert caught.value.code == "secret.keyring"
    monkeypatch.setattr(module, "system_keyring", object)
    assert isinstance(open_store(tmp_path, settings, Nobody()), KeyringStore)


def test_only_the_keys_place_comes_from_the_environment():
    home = Path("/home/ann")
    assert default_key_file({}, home) == home / ".config" / "yoi" / "secret.key"
    assert default_key_file({"XDG_CONFIG_HOME": "/c"}, home) == Path("/c/yoi/secret.key")
    assert default_key_file({"XDG_CONFIG_HOME": "relative"}, home) == default_key_file({}, home)


def test_a_linked_configuration_is_read_like_any_other(tmp_path):
    (tmp_path / "real.toml").write_text('[secrets]\nunlock = "passphrase"\n')
    (tmp_path / ".yoi").mkdir()
    (tmp_path / ".yoi" / "yoi.toml").symlink_to(tmp_path / "real.toml")
    assert Settings.load(tmp_path).unlock is UnlockBy.PASSPHRASE


def test_a_configuration_that_links_to_itself_is_an_error_of_ours(tmp_path):
    (tmp_path / ".yoi").mkdir()
    (tmp_path / ".yoi" / "yoi.toml").symlink_to("yoi.toml")
    with pytest.raises(SecretError) as caught:
        Settings.load(tmp_path)
    assert caught.value.code == "secret.io"

"""host.toml: what the operator says about this machine; strict, bounded, and nobody else's."""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from yoi.errors import EnablementError
from yoi.limits import LIMITS
from yoi.serving.host_settings import VARIABLE, HostSettings, host_file
from yoi.serving.listeners import Listen
from yoi.serving.settings import ServingSettings

EVERYTHING = """
[host]
connections = 50
drain_ms = 0

[network]
assume_public = ["198.18.0.0/15", "fc00::/18"]
proxy = "http://me:hunter2@proxy.example:3128"
no_proxy = ["*.home.arpa", "192.168.0.0/16"]

[[network.authorities]]
host = "*.home.arpa"
file = "home-ca.pem"

[observation]
listen = "127.0.0.1:8000"
tls = { certificate = "cert.pem", key = "/etc/yoi/key.pem" }

[runtime]
id = "east"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The account's host.toml, not there yet."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "yoi"
    folder.mkdir(mode=0o700)
    return folder / "host.toml"


def test_without_a_file_everything_is_as_it_is(file):
    settings = HostSettings.load()
    assert settings == HostSettings()
    assert settings.limits == LIMITS
    workspace = ServingSettings.read({}, file.parent, "yoi.toml")
    assert settings.over(workspace) == workspace


def test_everything_said(file):
    file.write_text(EVERYTHING)
    file.chmod(0o644)
    settings = HostSettings.load()
    assert (settings.limits.connections, settings.limits.drain_ms) == (50, 0)
    assert settings.limits.services == LIMITS.services
    assert settings.ways_out.assume_public == (ip_network("198.18.0.0/15"), ip_network("fc00::/18"))
    assert settings.ways_out.proxy.where == "http://proxy.example:3128"
    assert len(settings.ways_out.no_proxy) == 2
    assert settings.ways_out.files_for("lamp.home.arpa") == [file.parent / "home-ca.pem"]
    assert settings.ways_out.files_for("home.example.com") == []
    assert "hunter2" not in repr(settings)
    workspace = ServingSettings.read(
        {"observation": {"listen": "[::1]:1", "persist": True}, "runtime": {"id": "west"}},
        file.parent,
        "yoi.toml",
    )
    serving = settings.over(workspace)
    assert serving.backend.listener.listen == Listen("127.0.0.1", 8000)
    assert serving.backend.listener.tls.certificate == file.parent / "cert.pem"
    assert not serving.backend.persist
    assert serving.runtime.id == "east"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("host = 1", "host"),
        ("[hosts]", "hosts"),
        ("[host]\nconections = 1", "host.conections"),
        ("[host]\nmanifest_bytes = 1", "host.manifest_bytes"),
        ("[host]\nconnections = 0", "host.connections"),
        ("[host]\nconnections = 1000000", "host.connections"),
        ("[host]\nconnections = true", "host.connections"),
        ("[network]\nproxy = 1", "network.proxy"),
        ("[network]\nproxy_resolves = true", "network.proxy_resolves"),
        ("[network]\nno_proxy = ['.example.com']", "network.no_proxy[0]"),
        ("[network]\nuser_agent = ' me'", "network.user_agent"),
        ('[network]\nuser_agent = "me\\r\\nX: 1"', "network.user_agent"),
        ("[network]\nassume_public = '198.18.0.0/15'", "network.assume_public"),
        ("[network]\nassume_public = ['198.18.0.1/15']", "network.assume_public[0]"),
        ("[network]\nassume_public = ['0.0.0.0/0']", "network.assume_public[0]"),
        ("[network]\nassume_public = ['127.0.0.0/8']", "network.assume_public[0]"),
        ("[network]\nassume_public = ['169.254.169.254']", "network.assume_public[0]"),
        ("[network]\nassume_public = ['8.8.8.0/24']", "network.assume_public[0]"),
        ("[observation]\nlisten = '0.0.0.0:1'", "observation.listen"),
        ("[plugins]", "plugins"),
    ],
)
def test_what_is_wrong_has_a_path(file, text, at):
    file.write_text(text)
    with pytest.raises(EnablementError) as caught:
        HostSettings.load()
    assert caught.value.code == "enablement.malformed"
    assert caught.value.fields["at"] == at
    assert caught.value.message.startswith(f"host.toml: {at}: ")


def test_all_that_is_wrong_is_told(file):
    file.write_text("[host]\nconnections = 0\nworkers = 'x'\n[network]\nproxy = 1\n")
    with pytest.raises(EnablementError) as caught:
        HostSettings.load()
    told = [one["at"] for one in caught.value.fields["faults"]]
    assert told == ["host.connections", "host.workers", "network.proxy"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(file, mode):
    file.write_text(EVERYTHING)
    file.chmod(mode)
    with pytest.raises(EnablementError, match="written by other accounts") as caught:
        HostSettings.load()
    assert caught.value.hint == f"chmod go-w {file}"


def test_a_folder_that_others_can_write_is_refused(file):
    file.write_text(EVERYTHING)
    file.parent.chmod(0o777)
    with pytest.raises(EnablementError, match="written by other accounts"):
        HostSettings.load()


def test_a_file_of_another_account_is_refused(file, monkeypatch):
    file.write_text(EVERYTHING)
    owner = os.stat(file).st_uid
    if owner == 0:
        os.chown(file, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(EnablementError, match="belongs to another account"):
        HostSettings.load()


def test_a_file_that_was_named_must_be_there(file, monkeypatch, tmp_path):
    with pytest.raises(EnablementError, match="is not there"):
        HostSettings.load(tmp_path / "other.toml")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "third.toml"))
    with pytest.raises(EnablementError, match="is not there"):
        HostSettings.load()


def test_where_it_is(tmp_path):
    assert host_file({}, tmp_path) == tmp_path / ".config" / "yoi" / "host.toml"
    assert host_file({"XDG_CONFIG_HOME": "rel"}, tmp_path).parent.parent.name == ".config"
    assert host_file({"XDG_CONFIG_HOME": "/x"}, tmp_path).as_posix() == "/x/yoi/host.toml"
    assert host_file({VARIABLE: "/etc/yoi.toml"}, tmp_path).as_posix() == "/etc/yoi.toml"


@pytest.mark.parametrize("text", ["= 1", "\xff"])
def test_what_is_no_toml(file, text):
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(EnablementError) as caught:
        HostSettings.load()
    assert caught.value.code == "enablement.toml"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("[[network.authorities]]\nhost = 'x'\n", "network.authorities[0].file"),
        ("[[network.authorities]]\nfile = 'x'\n", "network.authorities[0].host"),
        ("[network]\nauthorities = [{}]\n", "network.authorities[0].host"),
        (
            "[[network.authorities]]\nhost = 'x'\nfile = '~no-such-account/ca.pem'\n",
            "network.authorities[0].file",
        ),
        (
            "[observation]\ntls = { certificate = '~no-such-account/c', key = 'k' }\n",
            "observation.tls.certificate",
        ),
        ('[[network.authorities]]\nhost = "x"\nfile = "a\\u0000"\n', "network.authorities[0].file"),
    ],
)
def test_what_names_no_file_is_refused_with_its_key(text, at):
    with pytest.raises(EnablementError) as caught:
        HostSettings.parse(text.encode(), Path("/etc/yoi"))
    assert (caught.value.code, caught.value.fields["at"]) == ("enablement.malformed", at)

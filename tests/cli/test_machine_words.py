"""N2: a review says in words where the proxy, not Yoi, decides what a name means."""

import json

import pytest
from tests.cli.packages import BROAD, MANIFEST, write_plugin

YES = ("--grant-requested", "--yes", "-c", "channel=main")
DECIDES = "the proxy, not Yoi, decides which address a name means"
PROXY = '[network]\nproxy = "http://me:hunter2@proxy.example:3128"\n'


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return what writes this account's host.toml."""
    path = tmp_path / "host.toml"
    monkeypatch.setenv("YOI_HOST_CONFIG", str(path))

    def write(text):
        path.write_text(text)
        path.chmod(0o600)

    return write


@pytest.mark.parametrize(
    ("said", "broad", "decides"),
    [
        (PROXY + "proxy_resolves = true\n", "", True),
        (PROXY + "proxy_resolves = true\n", BROAD, True),
        (PROXY, BROAD, False),
        (PROXY + 'proxy_resolves = true\nno_proxy = ["gateway.example.com"]\n', "", False),
        (PROXY + 'proxy_resolves = true\nno_proxy = ["gateway.example.com"]\n', BROAD, True),
        (PROXY + 'proxy_resolves = true\nno_proxy = ["*"]\n', BROAD, False),
    ],
)
def test_enable_says_who_looks_names_up(said, broad, decides, yoi, workspace, machine):
    machine(said)
    write_plugin(workspace / "relay", MANIFEST + broad)
    ran = yoi("plugin", "enable", "./relay", *YES)
    words = " ".join(ran.out.split())
    assert ((DECIDES in words), ("http://proxy.example:3128" in words)) == (decides, decides)
    assert "hunter2" not in ran.out + ran.err
    told = json.loads(yoi("plugin", "enable", "./relay", *YES, "--json").out)
    assert (DECIDES in (told["network"] or "")) is decides


def test_trust_says_it_too(yoi, workspace, machine):
    machine("")
    write_plugin(workspace / "relay")
    assert yoi("plugin", "enable", "./relay", *YES).status == 0
    assert yoi("trust", "--forget").status == 0
    assert DECIDES not in " ".join(yoi("trust", "--show").out.split())
    machine(PROXY + "proxy_resolves = true\n")
    assert DECIDES in " ".join(yoi("trust", "--show").out.split())


def test_a_file_that_cannot_be_read_leaves_it_open(yoi, workspace, machine):
    machine("[network")
    write_plugin(workspace / "relay")
    ran = yoi("plugin", "enable", "./relay", *YES)
    assert "by which ways its targets are reached is unknown" in " ".join(ran.out.split())


@pytest.mark.parametrize("command", [["check", "relay"], ["enable", "./relay", *YES]])
def test_check_and_enable_name_the_memory_that_large_messages_need(command, yoi, workspace):
    """N4: one budget of message size and the guest's memory, told before anything runs."""
    prefixes = 'path_prefixes = ["/ws"]'
    large = MANIFEST.replace(prefixes, f"{prefixes}, max_message_bytes = {16 << 20}")
    write_plugin(workspace / "relay", large)
    words = " ".join(yoi("plugin", *command).out.split())
    assert "it may bring 16 MiB at once" in words
    assert "memory of 64 MiB holds about 4 MiB of usual JSON" in words
    assert "write and grant memory_bytes = 201326592" in words

"""`yoi secret authorize`, with a server made by others: tokens reach the store and no screen."""

import asyncio
import json
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.peers import running

SERVER = Path(__file__).parents[1] / "runtime" / "authorization_server.py"
NEEDED = ("--token-url", "https://a.example.com/token", "--client-id", "me")


@pytest.fixture(autouse=True)
def _own_config(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def open_page(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read()


async def test_tokens_go_into_the_store_and_onto_no_screen(workspace, yoi):
    async with running(SERVER) as server:
        url = (await server.ask("start"))["url"]
        words = ["secret", "authorize", "chat", "--client-id", "desktop", "--no-browser", "--json"]
        words += ["--authorize-url", f"{url}/authorize", "--token-url", f"{url}/token"]
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "yoi", *words, "--scope", "read", stdout=pipe, stderr=pipe
        )
        shown = b""
        while b"/authorize?" not in shown:
            shown = await child.stderr.readline()
            assert shown, "the page's address was never shown"
        await asyncio.to_thread(open_page, shown.decode().strip())
        out, err = await child.communicate()
        (given,) = server.heard
    assert child.returncode == 0, err
    assert json.loads(out) == {
        "command": "secret authorize",
        "name": "chat",
        "version": 2,
        "refresh": "chat.refresh",
        "expires_in_s": 3600,
        "scopes": ["read"],
        "stored": True,
    }
    for token in (given["access_token"], given["refresh_token"]):
        assert token.encode() not in out + err
        # What the store holds is sealed, and the commands print names alone.
        assert token.encode() not in (workspace / ".yoi/secrets.enc").read_bytes()
    names = [one["name"] for one in json.loads(yoi("secret", "list", "--json").out)["secrets"]]
    assert names == ["chat", "chat.refresh"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (NEEDED, "usage.arguments"),
        (
            (*NEEDED, "--authorize-url", "https://a/", "--device-url", "https://a/"),
            "usage.arguments",
        ),
        ((*NEEDED, "--device-url", "http://a.example.com/d"), "secret.flow_settings"),
        ((*NEEDED, "--device-url", "https://a/d", "--param", "x"), "usage.arguments"),
        ((*NEEDED, "--device-url", "https://a/d", "--param", "state=x"), "secret.flow_settings"),
        ((*NEEDED, "--device-url", "https://a/d", "--client-secret", "gone"), "secret.missing"),
        ((*NEEDED, "--device-url", "https://a/d", "--refresh-as", "chat"), "usage.arguments"),
        ((*NEEDED, "--device-url", "https://a/d", "--refresh-as", "a b"), "secret.name"),
    ],
)
def test_what_is_refused_before_anybody_is_asked(arguments, code, yoi, workspace):
    ran = yoi("secret", "authorize", "chat", *arguments, "--json")
    assert ran.status
    assert json.loads(ran.out)["error"]["code"] == code
    assert not (workspace / ".yoi/secrets.enc").exists()


def test_a_connection_that_fails_names_the_server(yoi, workspace):
    asked = ("--device-url", "http://127.0.0.1:9/d")
    ran = yoi("secret", "authorize", "chat", *NEEDED, *asked)
    assert ran.status
    assert "127.0.0.1:9" in ran.err
    assert "request.refused" in ran.err


def test_requests_leave_by_the_ways_out_of_the_machine(yoi, workspace, tmp_path):
    settings = tmp_path / "host.toml"
    settings.write_text('[network]\nproxy = "http://127.0.0.1:9"\n')
    settings.chmod(0o600)
    asked = ("--device-url", "https://10.1.2.3/d", "--host-config", settings)
    ran = yoi("secret", "authorize", "chat", *NEEDED, *asked)
    assert ran.status
    assert "proxy" in ran.err

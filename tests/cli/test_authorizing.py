"""`yoi secret authorize`, with a server made by others: tokens reach the store and no screen."""

import asyncio
import io
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


def declared(url, more=""):
    return f"""[[secrets.authorize]]
name = "chat"
token_url = "{url}/token"
authorize_url = "{url}/authorize"
client_id = "web-basic"
client_secret = "of-the-client"
client_auth = "basic"
scopes = ["read"]
{more}
"""


async def agreed(*words):
    """Run `yoi secret authorize` as a process, and agree in its page; return what it printed."""
    pipe = asyncio.subprocess.PIPE
    command = ["-m", "yoi", "secret", "authorize", *words, "--no-browser", "--json"]
    child = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=pipe, stderr=pipe)
    shown = b""
    while b"/authorize?" not in shown:
        shown = await child.stderr.readline()
        assert shown, "the page's address was never shown"
    await asyncio.to_thread(open_page, shown.decode().strip())
    out, err = await child.communicate()
    assert child.returncode == 0, err
    return out, err


async def test_what_yoi_toml_declares_need_not_be_typed_once_it_is_decided(
    workspace, yoi, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("the-secret-of-the-client"))
    assert yoi("secret", "set", "of-the-client", "--stdin").status == 0
    async with running(SERVER) as server:
        url = (await server.ask("start"))["url"]
        (workspace / ".yoi/yoi.toml").write_text(declared(url))
        refused = await asyncio.to_thread(yoi, "secret", "authorize", "chat", "--json")
        error = json.loads(refused.out)["error"]
        assert (error["code"], error["hint"]) == ("trust.pending", "review it with: yoi trust")
        # A store is opened, though how a token is asked for waits for a decision.
        assert (await asyncio.to_thread(yoi, "secret", "list")).status == 0
        digest = json.loads(yoi("trust", "--show", "--json").out)["digest"]
        assert yoi("trust", "--digest", digest).status == 0
        out, err = await agreed("chat")
        await server.until(len)
        (given,) = server.heard
    assert json.loads(out)["scopes"] == ["read"]
    assert b"the-secret-of-the-client" not in out + err
    assert given["access_token"].encode() not in out + err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no [[secrets.authorize]] called chat"),
        (declared("https://a").replace("client_secret =", "secret ="), "client_secret"),
        (
            declared("https://a", 'device_url = "https://a/d"'),
            "one of authorize_url and device_url",
        ),
        (declared("https://a", "parameters = { prompt = 1 }"), "parameters.prompt must be text"),
        (declared("https://a") * 2, "declared twice"),
    ],
)
def test_a_table_that_cannot_be_meant_is_named(text, words, yoi, workspace):
    (workspace / ".yoi").mkdir()
    (workspace / ".yoi/yoi.toml").write_text(text)
    if (digest := json.loads(yoi("trust", "--show", "--json").out).get("digest")) is not None:
        yoi("trust", "--digest", digest)
    ran = yoi("secret", "authorize", "chat")
    assert ran.status
    assert words in " ".join(ran.err.split())


async def test_tokens_go_into_the_store_and_onto_no_screen(workspace, yoi):
    async with running(SERVER) as server:
        url = (await server.ask("start"))["url"]
        words = ["chat", "--client-id", "desktop", "--scope", "read"]
        words += ["--authorize-url", f"{url}/authorize", "--token-url", f"{url}/token"]
        out, err = await agreed(*words)
        await server.until(len)
        (given,) = server.heard
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

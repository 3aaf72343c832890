"""`yoi secret authorize` against an authorization server made by others (Authlib), as a process."""

import asyncio
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tests.peers import running

from yoi.connections import RequestClient
from yoi.connections.resolver import SystemResolver
from yoi.errors import RequestFailure, SecretError
from yoi.limits import LIMITS
from yoi.runtime.authorizing import Authorizing
from yoi.secrets.authorize import ClientAuth, Provider, endpoint
from yoi.types import Secret, SystemClock

CLIENT_SECRET = Secret("web", "the-secret-of-the-client")
SERVER = Path(__file__).parent / "authorization_server.py"


@pytest.fixture
async def server():
    async with running(SERVER) as peer:
        peer.url = (await peer.ask("start"))["url"]
        yield peer


def get(url):
    """Do what a browser does with `url`, redirects included; return the text of the page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as exc:
        return f"{exc.code} {exc.read().decode()}"


class Person:
    """Opens what is shown, as `does` says, and remembers it."""

    def __init__(self, does=get):
        self.shown = []
        self._does = does
        self._tasks = []

    def __call__(self, url, code):
        self.shown.append((url, code))
        self._tasks.append(asyncio.ensure_future(asyncio.to_thread(self._does, url)))

    async def page(self):
        return await self._tasks[0]


def provider(server, token="/token", **more):
    ways = {key: endpoint(server.url + path, key) for key, path in more.pop("ways").items()}
    return Provider(
        token_url=endpoint(server.url + token, "token"),
        **{"client_id": "desktop", "scopes": ("read", "write"), **ways, **more},
    )


def flow(provider, person, sleep=asyncio.sleep):
    client = RequestClient(SystemResolver(), SystemClock())
    return Authorizing(provider, client, person, sleep=sleep)


BROWSER = {"authorize_url": "/authorize"}
DEVICE = {"device_url": "/device"}


@pytest.mark.parametrize(
    "client",
    [
        {},
        {"client_id": "web", "client_secret": CLIENT_SECRET},
        {
            "client_id": "web-basic",
            "client_secret": CLIENT_SECRET,
            "client_auth": ClientAuth.BASIC,
        },
    ],
    ids=["public", "with a secret", "HTTP Basic"],
)
async def test_by_browser(server, client):
    person = Person()
    tokens = await flow(provider(server, ways=BROWSER, **client), person).by_browser()
    assert "may be closed" in await person.page()
    await server.until(len)
    (given,) = server.heard
    assert (tokens.access, tokens.refresh) == (given["access_token"], given["refresh_token"])
    assert (tokens.expires_in_s, tokens.scopes) == (3600, ("read", "write"))
    assert given["access_token"] not in repr(tokens)
    asked = parse_qs(urlsplit(person.shown[0][0]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) > 40


async def test_a_scope_that_the_server_narrows_is_no_fault(server):
    asked = provider(server, ways=BROWSER, scopes=("read", "admin"))
    assert (await flow(asked, Person()).by_browser()).scopes == ("read",)


async def test_a_person_who_denies(server):
    person = Person(lambda url: get(f"{url}&deny=1"))
    with pytest.raises(SecretError) as caught:
        await flow(provider(server, ways=BROWSER), person).by_browser()
    assert caught.value.code == "secret.flow_denied"
    assert server.heard == []


async def test_an_answer_with_another_state_is_refused(server):
    """What a page that knows the port could have the browser bring: somebody else's code."""

    def forged(url):
        asked = parse_qs(urlsplit(url).query)
        return get(asked["redirect_uri"][0] + "?" + urlencode({"code": "theirs", "state": "x"}))

    with pytest.raises(SecretError) as caught:
        await flow(provider(server, ways=BROWSER), Person(forged)).by_browser()
    assert caught.value.code == "secret.flow_state"


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        ("/moved", "secret.flow_answer", "redirect (307)"),
        ("/huge", "secret.flow_answer", f"more than the {LIMITS.response_body_bytes} bytes"),
        ("/nowhere", "secret.flow_answer", "HTTP 404"),
    ],
)
async def test_a_token_endpoint_that_is_none(server, token, code, words):
    with pytest.raises(SecretError) as caught:
        await flow(provider(server, token, ways=BROWSER), Person()).by_browser()
    assert (caught.value.code, words in caught.value.message) == (code, True)


async def test_a_client_that_the_server_does_not_know(server):
    asked = provider(
        server, ways=BROWSER, client_id="web", client_secret=Secret("web", "not-the-secret-at-all")
    )
    with pytest.raises(SecretError) as caught:
        await flow(asked, Person()).by_browser()
    assert (caught.value.code, caught.value.fields["error"]) == (
        "secret.flow_refused",
        "invalid_client",
    )
    assert "not-the-secret-at-all" not in str(caught.value)


async def test_a_server_that_is_not_there():
    gone = Provider(
        token_url=endpoint("http://127.0.0.1:9/token", "t"),
        device_url=endpoint("http://127.0.0.1:9/device", "d"),
        client_id="desktop",
    )
    with pytest.raises(RequestFailure) as caught:
        await flow(gone, Person()).by_device()
    assert caught.value.code == "request.refused"


async def test_by_device(server):
    """Pending, then `slow_down` (which adds five seconds), then agreed."""
    person, slept = Person(lambda url: None), []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            await asyncio.to_thread(get, f"{server.url}/agree/{person.shown[0][1]}/yes")

    tokens = await flow(provider(server, ways=DEVICE), person, sleep).by_device()
    await server.until(len)
    assert tokens.access == server.heard[0]["access_token"]
    assert person.shown[0][0] == f"{server.url}/agree"
    assert slept == [1, 6, 6]


async def test_a_person_who_denies_on_the_device(server):
    person = Person(lambda url: None)

    async def sleep(seconds):
        await asyncio.to_thread(get, f"{server.url}/agree/{person.shown[0][1]}/no")

    with pytest.raises(SecretError) as caught:
        await flow(provider(server, ways=DEVICE), person, sleep).by_device()
    assert caught.value.code == "secret.flow_denied"


async def test_a_device_code_that_nobody_types(server):
    async def sleep(seconds):
        pass

    asked = provider(server, ways=DEVICE)
    with pytest.raises(SecretError) as caught:
        await flow(asked, Person(lambda url: None), sleep).by_device()
    assert caught.value.code == "secret.flow_expired"

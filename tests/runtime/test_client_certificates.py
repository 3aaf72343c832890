"""N2: a granted client certificate reaches dials and requests, and no message."""

import dataclasses

import pytest
import trustme
from tests.runtime.test_assembly import assembler, resolved

from yoi.errors import InsertionError, PermissionDenied, SecretError
from yoi.permissions import Authority
from yoi.protocol.session_commands import Request
from yoi.runtime.connection_specs import may_dial
from yoi.types import Secret

PEM = trustme.CA().issue_cert("bot@example.com").private_key_and_cert_chain_pem.bytes().decode()
MANIFEST = b"""
schema_version = 1
id = "bot"
name = "Bot"
version = "1"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Bot"

[[services]]
name = "bot"

[[ingresses]]
name = "events"

[[connections]]
name = "gateway"
ingress = "events"
url = "wss://gateway.example.com/ws"

[[request]]
name = "api"
scheme = "https"
host = "api.example.com"
methods = ["GET"]

[[secrets]]
name = "mine"
connection = "gateway"
at = ["/tls/client"]

[[secrets]]
name = "ours"
request = "api"
at = ["/tls/client"]
"""


ASK = Request("api", "GET", "/x", {}, {}, None, None, (), ())


class Store:
    """Secrets by name."""

    def __init__(self, **values):
        self.values = values

    def get(self, name):
        if name not in self.values:
            raise SecretError("secret.missing", f"there is no {name}")
        return Secret(name, self.values[name])

    def secret(self, name):
        return Secret(name, self.values[name]) if name in self.values else None


def plugin(**chosen):
    made = resolved(MANIFEST)
    asked = made.package.manifest.requested
    given = asked.granting(chosen)
    return dataclasses.replace(made, granted=given, authority=Authority(asked, given))


def spec_of(made, store):
    return dataclasses.replace(assembler(), secrets=store).spec(made)


async def test_the_certificate_of_the_grant_is_what_a_dial_and_a_request_present():
    spec = spec_of(plugin(mine="a", ours="b"), Store(a=PEM, b=PEM))
    assert "a" in repr(spec.injector.client_certificate(connection="gateway"))
    prepared = spec.requests.prepare(ASK, "e1:0")
    assert "b" in repr(prepared.certificate)
    assert prepared.carries_inserted
    assert "PRIVATE" not in repr(prepared)


async def test_without_the_grant_nothing_is_dialled_or_asked_and_the_command_is_named():
    made = plugin()
    spec = spec_of(made, Store(a=PEM))
    (settings,) = (one.settings for one in spec.connections)
    decision = may_dial(made, settings, settings.url)
    assert (decision.allowed, decision.code) == (False, "denied.not_granted")
    assert "--secret mine=STORE_NAME" in decision.hint
    assert may_dial(plugin(mine="a"), settings, settings.url).allowed
    with pytest.raises(PermissionDenied):
        spec.requests.prepare(ASK, "e1:0")


async def test_one_that_is_missing_or_does_not_fit_is_an_error_of_its_own():
    spec = spec_of(plugin(mine="a", ours="b"), Store(b="garbage"))
    with pytest.raises(SecretError) as missing:
        spec.injector.client_certificate(connection="gateway")
    with pytest.raises(SecretError) as garbage:
        spec.requests.prepare(ASK, "e1:0")
    assert [one.value.code for one in (missing, garbage)] == [
        "secret.missing", "secret.certificate",
    ]  # fmt: skip


async def test_no_command_puts_the_key_into_a_message():
    spec = spec_of(plugin(mine="a", ours="b"), Store(a=PEM, b=PEM))
    for goal, name in (("connection", "mine"), ("request", "ours")):
        with pytest.raises(InsertionError) as refused:
            spec.injector.fill(
                {"tls": {"client": ""}},
                ({"at": "/tls/client", "secret": name},),
                **{goal: "gateway" if goal == "connection" else "api"},
            )
        assert refused.value.code == "insert.place"

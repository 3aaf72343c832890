"""W9: what is granted decides what is put in, and what is masked, now and after a change."""

import pytest

from yoi.core.captures import Captured, HandleTable
from yoi.errors import PermissionDenied
from yoi.permissions import Authority, PermissionSet
from yoi.runtime.secret_injector import SecretInjector
from yoi.testing import ManualClock
from yoi.types import Secret

TARGET = {"scheme": "https", "host": "api.example.com", "methods": ["POST"]}
INTO = {"connection": "gateway", "at": ["/d/token"]}
CAPTURES = [{"name": "ticket", "at": "/t", "into": INTO}, {"name": "url", "at": "/u"}]
ASKED = [{"kind": "connection", "name": name} for name in ("gateway", "other")]
USE = {"name": "bot", "connection": "gateway", "at": ["/d/token"]}
STORED = {name: f"the-value-of-{name}-is-long" for name in ("old", "new")}


class Store:
    def secret(self, name):
        return Secret(name, STORED[name])

    get = secret


def granting(secret):
    return PermissionSet.parse(ASKED, [], [], [{**USE, "secret": secret}])


@pytest.mark.parametrize(
    ("capture", "connection", "at", "code"),
    [
        ("ticket", "gateway", "/d/token", None),
        ("ticket", "gateway", "/d/other", "denied.secret_place"),
        ("ticket", "other", "/d/token", "denied.not_requested"),
        ("url", "gateway", "/d/token", "denied.not_requested"),
    ],
)
def test_a_captured_value_goes_only_where_both_sides_let_it(capture, connection, at, code):
    request = {**TARGET, "name": "login", "captures": CAPTURES}
    both = PermissionSet.parse(ASKED, [], [request])
    clock = ManualClock()
    injector = SecretInjector("mine", Authority(both, both), Store(), HandleTable(), clock)
    handle = injector.keep("login", Captured(capture, "its-value"))
    insert = ({"at": at, "captured": handle},)
    document = {"d": {"token": None, "other": None}}
    if code is None:
        filled = injector.fill(document, insert, connection=connection)
        assert filled.document["d"]["token"] == "its-value"
        return
    with pytest.raises(PermissionDenied) as refused:
        injector.fill(document, insert, connection=connection)
    assert refused.value.code == code
    assert "its-value" not in str(refused.value)


def test_what_is_masked_follows_the_grants_and_forgets_nothing():
    asked = PermissionSet.parse(ASKED, [], [], [USE])
    authority = Authority(asked, granting("old"))
    injector = SecretInjector("mine", authority, Store(), HandleTable(), ManualClock())

    def seen():
        return [name for name, value in STORED.items() if value in injector.masker().text(value)]

    assert seen() == ["new"]
    authority.regrant(granting("new"))
    assert seen() == []
    authority.regrant(PermissionSet())
    assert seen() == []

"""`[[secrets.authorize]]` beside options of the command line."""

import pytest

from yoi.secrets.authorizations import Authorization, ClientAuth

DECLARED = Authorization(
    token_url="https://a/token",
    authorize_url="https://a/page",
    client_id="me",
    scopes=("read",),
    parameters={"prompt": "consent"},
    port=7000,
)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, {}),
        ({"client_id": "other"}, {"client_id": "other"}),
        ({"scopes": ("write",), "port": 0}, {"scopes": ("write",), "port": 0}),
        ({"client_auth": ClientAuth.BASIC}, {"client_auth": ClientAuth.BASIC}),
        ({"device_url": "https://a/d"}, {"device_url": "https://a/d", "authorize_url": None}),
    ],
)
def test_what_is_given_wins(given, left):
    found = DECLARED.overridden(Authorization(**given))
    mine = {name: getattr(DECLARED, name) for name in DECLARED.__dataclass_fields__}
    assert {name: getattr(found, name) for name in mine} == {**mine, **left}

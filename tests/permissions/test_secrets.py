"""W9: secret uses and captures as parsed values, and who may put what where."""

import pytest

from yoi.errors import PermissionDenied, PermissionMalformed, UrlRefused
from yoi.limits import LIMITS
from yoi.permissions import (
    Authority,
    JsonPointer,
    PermissionSet,
    ReviewState,
    SecretUse,
    Url,
    permission_hash,
    review,
)
from yoi.permissions.places import Position

API = {
    "name": "api",
    "scheme": "https",
    "host": "slack.com",
    "methods": ["POST"],
    "path_prefixes": ["/api"],
}
OTHER = {"name": "other", "scheme": "https", "host": "*", "methods": ["POST"]}
APP = {"name": "app", "request": "api", "at": ["/headers/authorization"]}
BOT = {"name": "bot", "connection": "gateway", "at": ["/d/token"]}
PERMISSIONS = [
    {"kind": "connection", "name": "gateway"},
    {"kind": "host_api", "api": "request"},
]
HEADER = Position(JsonPointer.parse("/headers/authorization"))
TOKEN = Position(JsonPointer.parse("/d/token"))


def having(*secrets, request=(API, OTHER), permissions=PERMISSIONS):
    return PermissionSet.parse(list(permissions), [], list(request), list(secrets))


def stored(use, name):
    return {**use, "secret": name}


def authority(asked, given):
    return Authority(asked, given, plugin="project:bot")


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ({}, "secrets.name"),
        ({**APP, "connection": "gateway"}, "secrets"),
        ({"name": "app", "at": ["/a"]}, "secrets"),
        ({"name": "app", "request": "api"}, "secrets.at"),
        ({**APP, "at": []}, "secrets.at"),
        ({**APP, "at": "/headers/x"}, "secrets.at"),
        ({**APP, "at": ["headers"]}, "secrets.at[0]"),
        ({**APP, "at": [""]}, "secrets.at[0]"),
        ({**APP, "at": ["/headers"]}, "secrets.at"),
        ({**APP, "at": ["/headers/Authorization"]}, "secrets.at"),
        ({**APP, "at": ["/headers/a/b"]}, "secrets.at"),
        ({**APP, "at": ["/path"]}, "secrets.at"),
        ({**APP, "at": ["/body"]}, "secrets.at"),
        ({**BOT, "at": [f"/{i}" for i in range(LIMITS.secret_pointers + 1)]}, "secrets.at"),
        ({**APP, "name": "a b"}, "secrets.name"),
        ({**APP, "name": "\x1b[31m"}, "secrets.name"),
        ({**APP, "secret": ""}, "secrets.secret"),
        ({**APP, "secret": "../x"}, "secrets.secret"),
        ({**APP, "request": "*"}, "secrets.request"),
        ({**APP, "description": 5}, "secrets.description"),
        ({**APP, "value": "xapp-1"}, "secrets.value"),
    ],
)
def test_a_use_is_refused_where_it_is_not_exact(value, at):
    with pytest.raises(PermissionMalformed) as caught:
        SecretUse.parse(value)
    assert caught.value.fields["at"] == at


def test_a_use_and_back():
    use = SecretUse.parse({**BOT, "at": ["/d/token", "/a~1b", "/d/token"], "description": "x"})
    assert [str(at.pointer) for at in use.binding.places] == ["/a~1b", "/d/token"]
    assert SecretUse.parse(use.to_table()) == use
    assert use.using("s").secret == "s"
    assert use.using("s").key == use.key


@pytest.mark.parametrize(
    ("secrets", "at"),
    [
        ([APP, {**APP, "at": ["/headers/x"]}], "secrets[1]"),
        ([stored(APP, "a"), stored({**BOT, "name": "app"}, "b")], "secrets[1].secret"),
        ([APP] * (LIMITS.manifest_list_items + 1), "secrets"),
    ],
)
def test_a_set_never_says_two_things_of_one_secret(secrets, at):
    with pytest.raises(PermissionMalformed) as caught:
        having(*secrets)
    assert caught.value.fields["at"] == at


def test_one_secret_may_go_two_ways_when_both_are_said():
    both = having(stored(APP, "s"), stored({**BOT, "name": "app"}, "s"))
    assert len(both.secrets) == 2
    assert PermissionSet.parse(**both.to_tables()) == both


def test_names_of_targets_are_unique():
    with pytest.raises(PermissionMalformed, match="two targets that are named"):
        having(request=[API, {**API, "host": "evil.example"}])


def test_the_hash_changes_with_every_word_of_a_use():
    sets = [
        having(),
        having(APP),
        having({**APP, "at": ["/headers/x"]}),
        having(stored(APP, "a")),
        having(stored(APP, "b")),
        having(APP, request=[{**API, "captures": [{"name": "u", "at": "/url"}]}, OTHER]),
        having(APP, request=[{**API, "name": "api2"}, API, OTHER]),
    ]
    assert len({permission_hash(one) for one in sets}) == len(sets)


def test_allowed_only_with_both_keys_and_then_with_the_name_in_the_store():
    asked, given = having(APP, BOT), having(stored(APP, "slack-app"), stored(BOT, "slack-bot"))
    keys = authority(asked, given)
    assert keys.secret("app", HEADER, request="api").secret == "slack-app"
    assert keys.secret("bot", TOKEN, connection="gateway").secret == "slack-bot"


@pytest.mark.parametrize(
    ("asked", "given", "code"),
    [
        (having(APP), having(), "denied.not_granted"),
        (having(APP), having(APP), "denied.not_granted"),
        (having(), having(stored(APP, "s")), "denied.not_requested"),
        (having(), having(), "denied.not_requested"),
        (having(APP), having(stored({**APP, "request": "other"}, "s")), "denied.not_granted"),
        (having({**APP, "request": "other"}), having(stored(APP, "s")), "denied.not_requested"),
        (having(APP), having(stored(APP, "s"), request=[OTHER]), "denied.not_granted"),
        (having(APP, request=[OTHER]), having(stored(APP, "s")), "denied.not_requested"),
        (
            having({**APP, "at": ["/headers/x"]}),
            having(stored(APP, "s")),
            "denied.secret_place",
        ),
        (
            having(APP),
            having(stored({**APP, "at": ["/headers/x"]}, "s")),
            "denied.secret_place",
        ),
    ],
)
def test_a_missing_key_or_place_denies(asked, given, code):
    decision = authority(asked, given).secret("app", HEADER, request="api")
    assert (decision.allowed, decision.code, decision.secret) == (False, code, None)
    assert decision.hint
    with pytest.raises(PermissionDenied):
        decision.require()


@pytest.mark.parametrize(
    "at", ["/d", "/d/token/x", "/D/token", "/d/token~0", "/headers/authorization"]
)
def test_a_place_is_that_place_and_no_other(at):
    keys = authority(having(BOT), having(stored(BOT, "s")))
    decision = keys.secret("bot", Position(JsonPointer.parse(at)), connection="gateway")
    assert decision.code == "denied.secret_place"


def test_a_connection_secret_needs_the_connection_itself():
    keys = authority(having(BOT), having(stored(BOT, "s"), permissions=[]))
    assert keys.secret("bot", TOKEN, connection="gateway").code == "denied.not_granted"


@pytest.mark.parametrize("name", ["", "x" * 500, "\x1b[2J", "a b", "\u202e"])
def test_what_a_guest_makes_up_is_denied_in_printable_words(name):
    keys = authority(having(APP), having(stored(APP, "s")))
    for decision in (
        keys.secret(name, HEADER, request="api"),
        keys.secret("app", HEADER, request=name or "x"),
        keys.secret("app", HEADER, connection=name or "x"),
        keys.captured((name, name), HEADER, request="api"),
    ):
        assert decision.code == "denied.not_requested"
        assert decision.message.isprintable()


@pytest.mark.parametrize("goal", [{}, {"connection": "gateway", "request": "api"}])
def test_a_goal_is_one_thing(goal):
    with pytest.raises(ValueError, match="exactly one"):
        authority(having(APP), having(stored(APP, "s"))).secret("app", HEADER, **goal)


def test_the_hints_are_what_has_to_be_written():
    denied = authority(having(), having()).secret("app", HEADER, request="api")
    assert (
        '[[secrets]]\nname = "app"\nrequest = "api"\nat = ["/headers/authorization"]' in denied.hint
    )
    denied = authority(having(APP), having()).secret("app", HEADER, request="api")
    assert denied.hint == "yoi plugin enable project:bot --secret app=STORE_NAME"


def test_a_request_by_name_stays_within_that_target():
    """P8: what is bound to `api` never goes where only a broader target leads."""
    both = having()
    keys = authority(both, both)
    inside, outside = (
        Url.parse("https://slack.com/api/x", ("https",)),
        Url.parse("https://evil.example/api/x", ("https",)),
    )
    assert keys.request("POST", inside, "api").allowed
    assert keys.request("POST", outside).allowed
    assert keys.request("POST", outside, "api").code == "denied.not_requested"
    assert "api" in keys.request("POST", outside, "api").message
    renamed = authority(both, having(request=[{**API, "name": "mine"}, OTHER]))
    assert renamed.request("POST", inside, "api").code == "denied.not_granted"


CAPTURE = {
    "name": "token",
    "at": "/access_token",
    "into": {"connection": "gateway", "at": ["/d/token"]},
    "rotates": "bot",
}
URL_ONLY = {"name": "url", "at": "/url"}
CATCHING = [{**API, "captures": [CAPTURE, URL_ONLY]}]


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"captures": [CAPTURE, CAPTURE]}, "request[0].captures[1].name"),
        ({"captures": [{"name": "a", "at": ""}]}, "request[0].captures[0].at"),
        ({"captures": [{"name": "a"}]}, "request[0].captures[0].at"),
        ({"captures": [{**URL_ONLY, "extra": 1}]}, "request[0].captures[0].extra"),
        ({"captures": [{**URL_ONLY, "into": {"at": ["/x"]}}]}, "request[0].captures[0].into"),
        ({"captures": [{**URL_ONLY, "rotates": "a b"}]}, "request[0].captures[0].rotates"),
        ({"captures": [URL_ONLY] * (LIMITS.captures + 1)}, "request[0].captures"),
        ({"name": "a/b"}, "request[0].name"),
    ],
)
def test_captures_are_refused_where_they_are_not_exact(change, at):
    with pytest.raises(UrlRefused) as caught:
        PermissionSet.parse([], [], [{**API, **change}])
    assert caught.value.fields["at"] == at


def test_captures_need_a_name_to_be_asked_by_and_requests_only_have_them():
    with pytest.raises(UrlRefused, match="name is required beside captures"):
        PermissionSet.parse([], [], [{k: v for k, v in CATCHING[0].items() if k != "name"}])
    with pytest.raises(UrlRefused, match="name is not a key of this table"):
        PermissionSet.parse([], [{"scheme": "wss", "host": "a.example", "name": "x"}])


def test_a_captured_value_goes_only_where_both_sides_let_it():
    both = having(stored(BOT, "slack-bot"), request=CATCHING)
    keys = authority(both, both)
    assert PermissionSet.parse(**both.to_tables()) == both
    assert keys.captured(("api", "token"), TOKEN, connection="gateway").allowed
    assert (
        keys.captured(("api", "token"), HEADER, connection="gateway").code == "denied.secret_place"
    )
    assert keys.captured(("api", "token"), HEADER, request="api").code == "denied.not_requested"
    assert keys.captured(("api", "url"), TOKEN, connection="gateway").code == "denied.not_requested"
    assert (
        keys.captured(("api", "nope"), TOKEN, connection="gateway").code == "denied.not_requested"
    )
    narrow = authority(
        both,
        having(
            request=[
                {
                    **API,
                    "captures": [{**CAPTURE, "into": {"connection": "other", "at": ["/d/token"]}}],
                }
            ]
        ),
    )
    assert (
        narrow.captured(("api", "token"), TOKEN, connection="gateway").code == "denied.not_granted"
    )


def test_a_rotation_needs_both_sides_and_a_granted_secret():
    asked = having(BOT, request=CATCHING)
    given = having(stored(BOT, "slack-bot"), request=CATCHING)
    assert authority(asked, given).rotation("api", "token").secret == "slack-bot"
    assert authority(asked, given).rotation("api", "url") == authority(asked, given).rotation(
        "x", "y"
    )
    assert authority(asked, given).rotation("api", "url").secret is None
    for lacking in (
        having(request=CATCHING),
        having(stored(BOT, "s")),
        having(stored(BOT, "s"), request=[API]),
    ):
        denied = authority(asked, lacking).rotation("api", "token")
        assert (denied.allowed, denied.code) == (False, "denied.not_granted")


def rows(asked, given):
    return {(row.kind, row.label.partition(" ")[0]): row for row in review(asked, given).rows}


def test_the_review_says_in_plain_words_what_a_secret_does():
    asked = having(APP, {**BOT, "description": "Bot token (xoxb-...)"})
    given = having(stored(APP, "slack-app"), {**stored(BOT, "b"), "name": "more"})
    found = rows(asked, given)
    app = found["secret", "app"]
    assert app.state is ReviewState.COVERED
    assert app.explanation == (
        "puts your secret slack-app into /headers/authorization of requests to slack.com/api"
    )
    bot = found["secret", "bot"]
    assert bot.state is ReviewState.DENIED
    assert "Bot token" in bot.explanation
    assert "--secret bot=STORE_NAME" in bot.explanation
    assert found["secret", "more"].state is ReviewState.GRANT_ONLY
    assert not review(asked, given).complete


def test_the_review_of_half_a_grant():
    two = {**APP, "at": ["/headers/authorization", "/body/token"]}
    part = rows(having(two), having(stored(APP, "s")))["secret", "app"]
    assert part.state is ReviewState.PARTLY_COVERED
    assert "not into /body/token" in part.explanation
    other = rows(having(APP), having(stored({**APP, "at": ["/body/x"]}, "s")))["secret", "app"]
    assert other.state is ReviewState.DENIED


def test_a_secret_that_can_reach_more_than_it_looks_is_broad():
    anywhere = rows(having({**APP, "request": "other"}), having())["secret", "app"]
    assert any("any host" in why for why in anywhere.broad)
    logged = rows(having({**APP, "at": ["/query/token"]}), having())["secret", "app"]
    assert any("logs" in why for why in logged.broad)
    plain = rows(having(APP, request=[{**API, "scheme": "http"}]), having())["secret", "app"]
    assert any("unencrypted" in why for why in plain.broad)
    assert rows(having(APP), having())["secret", "app"].broad == ()


def test_the_review_of_captures():
    asked = having(BOT, request=CATCHING)
    given = having(stored(BOT, "s"), request=CATCHING)
    found = rows(asked, given)
    token = found["capture", "api.token"]
    assert token.state is ReviewState.COVERED
    assert "puts it into /d/token of messages" in token.explanation
    assert "replaces your secret for bot" in token.explanation
    assert rows(asked, having(BOT))["capture", "api.token"].state is ReviewState.DENIED
    less = having(request=[{**API, "captures": [{"name": "token", "at": "/access_token"}]}])
    assert rows(asked, less)["capture", "api.token"].state is ReviewState.PARTLY_COVERED
    assert review(given, given).complete


def test_a_target_granted_without_its_name_is_not_all_of_it():
    row = rows(having(), having(request=[{**API, "name": "mine"}, OTHER]))[
        "request", "https://slack.com"
    ]
    assert row.state is ReviewState.PARTLY_COVERED
    assert "not under the name api" in row.explanation


def test_no_secret_is_granted_unless_somebody_says_which():
    asked = having(APP, BOT)
    assert asked.granting({}).secrets == ()
    chosen = asked.granting({"app": "slack-app", "unknown": "x"})
    assert [use.secret for use in chosen.secrets] == ["slack-app"]
    assert chosen.request == asked.request
    assert authority(asked, chosen).secret("app", HEADER, request="api").secret == "slack-app"
    with pytest.raises(PermissionMalformed):
        asked.granting({"app": "../etc"})


CERTIFICATE = {"name": "mine", "connection": "gateway", "at": ["/tls/client"]}


def test_a_client_certificate_needs_both_sides_and_is_one_of_a_goal():
    asked, given = having(CERTIFICATE), having(stored(CERTIFICATE, "pem"))
    found = authority(asked, given).client_certificate(connection="gateway")
    assert (found.allowed, found.secret) == (True, "pem")
    lacking = authority(asked, having()).client_certificate(connection="gateway")
    assert (lacking.allowed, lacking.code) == (False, "denied.not_granted")
    assert "--secret mine=STORE_NAME" in lacking.hint
    assert authority(having(), given).client_certificate(connection="gateway") is None
    assert authority(asked, given).client_certificate(request="api") is None
    for_requests = {"name": "mine", "request": "api", "at": ["/tls/client"]}
    both = authority(having(for_requests), having(stored(for_requests, "pem")))
    assert both.client_certificate(request="api").secret == "pem"


@pytest.mark.parametrize(
    "secrets",
    [
        [{**CERTIFICATE, "at": ["/tls/client", "/d/token"]}],
        [CERTIFICATE, {**CERTIFICATE, "name": "other"}],
        [{"name": "mine", "request": "api", "at": ["/tls/other"]}],
    ],
)
def test_a_client_certificate_goes_nowhere_else_and_has_no_second(secrets):
    with pytest.raises(PermissionMalformed):
        having(*secrets)


def test_no_captured_value_is_a_client_certificate():
    into = {"connection": "gateway", "at": ["/tls/client"]}
    with pytest.raises(UrlRefused):
        having(request=[{**API, "captures": [{"name": "x", "at": "/x", "into": into}]}])


def test_the_review_says_who_is_shown_the_certificate():
    asks = rows(having(CERTIFICATE), having())["secret", "mine"]
    assert asks.explanation == (
        "it asks to present a client certificate of yours to the servers of the connection "
        "gateway; not granted: say which secret with --secret mine=STORE_NAME"
    )
    given = rows(having(CERTIFICATE), having(stored(CERTIFICATE, "pem")))["secret", "mine"]
    assert given.explanation == (
        "presents your secret pem as client certificate to the servers of the connection "
        "gateway: they know you by it"
    )
    to_api = {**CERTIFICATE, "connection": None, "request": "api"}
    del to_api["connection"]
    found = rows(having(to_api), having(stored(to_api, "pem")))["secret", "mine"]
    assert "client certificate to the servers of slack.com/api" in found.explanation

"""K1: in force is never more than what was decided, and never more than what the file says."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.decisions.compare import Turn, compare
from yoi.decisions.entries import digest, document_of, entries_of, join, split, text
from yoi.decisions.keys import GRANT_KEYS, SECTIONS, Kind, Rule
from yoi.mcp import settings as mcp
from yoi.packages import enablement
from yoi.permissions import PermissionSet, UrlTarget, secrets, targets
from yoi.permissions.secrets import SecretUse
from yoi.secrets import authorizations
from yoi.secrets import workspace as secret_settings
from yoi.serving import listeners
from yoi.serving import settings as serving_settings
from yoi.workers import profile
from yoi.workers import rules as worker_rules

TARGET = {"scheme": "wss", "host": "*.example.com", "path_prefixes": ["/ws"]}
NARROW = {"scheme": "wss", "host": "api.example.com", "path_prefixes": ["/ws/one"]}
USE = {"name": "bot", "connection": "gateway", "at": ["/token", "/other"], "secret": "mine"}
PLUGIN: dict[str, Any] = {
    "id": "project:echo",
    "name": "echo",
    "version": "1",
    "digest": "sha256:" + "0" * 64,
    "config": {"channel": "main"},
    "grants": {
        "permissions": [{"kind": "service", "name": "echo"}],
        "websocket": [TARGET],
        "secrets": [USE],
    },
}
WORKER: dict[str, Any] = {
    "name": "agent",
    "model": "openai:m",
    "max_turns": 5,
    "tools": [{"plugin": "echo", "tool": "post", "approval": "ask"}],
    "notify": [{"plugin": "echo", "start_run": False, "per_minute": 5}],
}


def changed(entry: dict[str, Any], **values: Any) -> dict[str, Any]:
    made = copy.deepcopy(entry)
    for key, value in values.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = value
    return made


def granted(**lists: Any) -> dict[str, Any]:
    return changed(PLUGIN, grants={**PLUGIN["grants"], **lists})


def turns(verdict: Any) -> list[tuple[str, str]]:
    return [(change.turn.value, change.at) for change in verdict.changes]


def test_what_was_decided_as_it_stands_is_in_force():
    for entry, content in (("plugin:echo", PLUGIN), ("worker:agent", WORKER)):
        verdict = compare(entry, content, copy.deepcopy(content))
        assert verdict.in_force == content
        assert verdict.changes == []


def test_what_nobody_decided_is_not():
    verdict = compare("plugin:echo", None, PLUGIN)
    assert (verdict.in_force, turns(verdict)) == (None, [("new", "")])


def test_what_is_gone_is_forgotten():
    verdict = compare("plugin:echo", PLUGIN, None)
    assert (verdict.in_force, verdict.keep, turns(verdict)) == (None, None, [("gone", "")])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "2"),
        ("digest", "sha256:" + "1" * 64),
        ("id", "user:echo"),
        ("config", {"channel": "other"}),
        ("config", None),
        ("unheard_of", 1),
    ],
)
def test_another_setting_puts_the_whole_plugin_on_hold(key, value):
    verdict = compare("plugin:echo", PLUGIN, changed(PLUGIN, **{key: value}))
    assert verdict.in_force is None
    assert turns(verdict) == [("changed", key)]
    assert verdict.keep == PLUGIN


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "openai:other"),
        ("base_url", "https://elsewhere.example"),
        ("api_key", "another"),
        ("instructions", "obey"),
        ("thinking", "high"),
        ("script", [{"when": "x", "say": "y"}]),
    ],
)
def test_another_model_address_or_key_puts_the_worker_on_hold(key, value):
    verdict = compare("worker:agent", WORKER, changed(WORKER, **{key: value}))
    assert verdict.in_force is None
    assert [change.turn for change in verdict.pending] == [Turn.OTHER]


def test_a_new_grant_waits_and_the_decided_ones_hold():
    file = granted(websocket=[TARGET, {"scheme": "wss", "host": "evil.example"}])
    verdict = compare("plugin:echo", PLUGIN, file)
    assert verdict.in_force["grants"]["websocket"] == [TARGET]
    assert turns(verdict) == [("new", "grants.websocket")]


def test_a_wider_grant_is_what_it_was_and_a_narrower_one_what_it_is():
    decided = granted(websocket=[NARROW])
    assert compare("plugin:echo", decided, PLUGIN).in_force["grants"]["websocket"] == [NARROW]
    verdict = compare("plugin:echo", PLUGIN, decided)
    assert verdict.in_force["grants"]["websocket"] == [NARROW]
    assert verdict.keep["grants"]["websocket"] == [NARROW]
    assert verdict.pending == []


def test_another_secret_under_the_plugins_name_is_not_given():
    verdict = compare("plugin:echo", PLUGIN, granted(secrets=[{**USE, "secret": "admin"}]))
    assert "secrets" not in verdict.in_force["grants"]
    assert [change.turn for change in verdict.pending] == [Turn.NEW]


def test_narrowing_then_restoring_asks():
    narrowed = compare("plugin:echo", PLUGIN, granted(websocket=[]))
    assert narrowed.pending == []
    restored = compare("plugin:echo", narrowed.keep, PLUGIN)
    assert turns(restored) == [("new", "grants.websocket")]
    assert "websocket" not in restored.in_force["grants"]


def test_numbers_and_approvals_are_bounded_by_both():
    file = changed(
        WORKER,
        max_turns=50,
        tools=[{"plugin": "echo", "tool": "post", "approval": "auto"}],
        notify=[{"plugin": "echo", "start_run": True, "per_minute": 2}],
    )
    verdict = compare("worker:agent", WORKER, file)
    assert verdict.in_force["max_turns"] == 5
    assert verdict.in_force["tools"][0]["approval"] == "ask"
    assert verdict.in_force["notify"][0] == {
        "plugin": "echo",
        "start_run": False,
        "per_minute": 2,
    }
    assert sorted(change.turn.value for change in verdict.pending) == ["wider"] * 3


def test_a_new_tool_waits_and_the_worker_goes_on():
    tool = {"plugin": "echo", "tool": "delete", "approval": "auto"}
    file = changed(WORKER, tools=[*WORKER["tools"], tool])
    verdict = compare("worker:agent", WORKER, file)
    assert verdict.in_force == WORKER
    assert [change.turn for change in verdict.pending] == [Turn.NEW]


def test_one_is_not_true():
    decided, file = changed(WORKER, notify=[]), changed(WORKER, notify=[])
    decided["extra"], file["extra"] = 1, True
    assert compare("worker:agent", decided, file).in_force is None


def test_a_table_that_is_not_known_is_one_setting():
    entries = entries_of({"network": {"assume_public": ["198.18.0.0/15"]}})
    (name,) = entries
    assert compare(name, None, entries[name]).in_force is None
    assert compare(name, entries[name], entries[name]).in_force == entries[name]
    assert compare(name, entries[name], {"value": {}}).in_force is None


@pytest.mark.parametrize("table", ["observation", "runtime"])
def test_any_free_port_of_the_loopback_needs_no_decision_and_every_other_place_does(table):
    free = {"listen": "127.0.0.1:0"}
    assert compare(table, None, free).in_force == free
    assert compare(table, None, free).changes == []
    assert compare(table, {"listen": "10.0.0.1:443"}, free).in_force == free
    for more in (
        {"listen": "127.0.0.1:5432"},
        {"listen": "0.0.0.0:0"},
        {**free, "names": ["evil.example"]},
        {**free, "tls": {"certificate": "c", "key": "k"}},
    ):
        verdict = compare(table, None, more)
        assert (verdict.in_force, turns(verdict)) == (None, [("new", "")])


def known(rules: Any) -> set[str]:
    return set(rules)


def test_every_key_of_yoi_toml_is_classified():
    """A new key must be given a kind before it can be parsed."""
    plugin, worker = SECTIONS["plugin"].keys, SECTIONS["worker"].keys
    assert known(plugin) == set(enablement.ENTRY.keys)
    assert set(GRANT_KEYS) | {"id", "version", "digest"} == set(enablement.GRANTS.keys)
    assert known(worker) == set(profile.WORKER.keys)
    assert known(worker["tools"].keys) == set(worker_rules.TOOL.keys)
    assert known(worker["notify"].keys) == set(worker_rules.NOTIFY.keys)
    assert known(worker["tickets"].keys) == set(worker_rules.TICKETS.keys)
    assert known(worker["mcp"].keys) == set(worker_rules.MCP.keys)
    served = SECTIONS["mcp"].keys
    assert known(served) == set(mcp.MCP.keys)
    assert known(served["servers"].keys) == set(mcp.SERVER.keys)
    assert known(served["servers"].keys["tools"].keys) == set(mcp.APPROVED.keys)
    assert known(served["tools"].keys) - {"after_outside", "same"} == set(mcp.SERVED_TOOL.keys)
    assert known(served["events"].keys) == set(mcp.SERVED_EVENTS.keys)
    assert known(SECTIONS["observation"].keys) == set(listeners.OBSERVATION.keys)
    assert known(SECTIONS["runtime"].keys) == set(listeners.RUNTIME.keys)
    assert known(SECTIONS["upstream"].keys) == set(serving_settings.UPSTREAM.keys)
    assert known(SECTIONS["secrets"].keys) == set(secret_settings.SECRETS.keys)
    assert known(SECTIONS["authorize"].keys) == set(authorizations.AUTHORIZE.keys)


def rules(keys: Any) -> Any:
    for key, rule in keys.items():
        yield key, rule
        yield from rules(rule.keys)


def test_no_key_is_harmless_unawares():
    """Whoever adds one says why here."""
    harmless = [
        f"{section.name}.{key}"
        for section in SECTIONS.values()
        for key, rule in rules(section.keys)
        if rule.kind is Kind.HARMLESS
    ]
    assert harmless == []


REQUEST = {
    "name": "api",
    "scheme": "https",
    "host": "api.example.com",
    "port": 8443,
    "methods": ["GET"],
    "path_prefixes": ["/v1"],
    "max_message_bytes": 4096,
    "max_answer_bytes": 4096,
    "addresses": "private",
    "captures": [{"name": "url", "at": "/url"}],
    "idempotent": False,
}
OTHERS = {
    "name": "other",
    "scheme": "http",
    "host": "evil.example",
    "port": 1,
    "methods": ["GET", "POST"],
    "path_prefixes": ["/"],
    "max_message_bytes": 8192,
    "max_answer_bytes": 8192,
    "addresses": "private",
    "captures": [{"name": "url", "at": "/other"}],
    "idempotent": True,
}


@pytest.mark.parametrize("kind", list(targets.TargetKind))
def test_every_key_of_a_target_counts_when_grants_are_compared(kind):
    known = set(targets.TARGETS[kind].keys)
    keys = [key for key in REQUEST if key in known]
    assert set(keys) == known
    scheme = {"scheme": kind.schemes[1]}
    base = {key: REQUEST[key] for key in keys if key != "addresses"} | scheme
    others = OTHERS | {"scheme": kind.schemes[0]}
    for key in keys:
        mine, other = UrlTarget.parse(base, kind), UrlTarget.parse({**base, key: others[key]}, kind)
        assert mine.covers(mine)
        assert not mine.covers(other), key


def test_every_key_of_a_secrets_use_counts_when_grants_are_compared():
    base = {"name": "bot", "connection": "gateway", "at": ["/token"], "secret": "mine"}
    others = {"name": "x", "connection": "x", "at": ["/x"], "secret": "x"}
    # `description` is the author's words; `request` stands in for `connection`.
    assert set(secrets.GRANTED_SECRET.keys) == {*others, "description", "request", "sign"}
    mine = SecretUse.parse(base)
    sign = {"algorithm": "hmac-sha256", "key": "utf8", "of": "message", "form": "base64",
            "parts": [{"timestamp": "s"}]}  # fmt: skip
    signed = SecretUse.parse({**base, "sign": sign})
    assert not mine.covers(signed)
    assert not signed.covers(mine)
    assert not signed.covers(SecretUse.parse({**base, "sign": {**sign, "form": "hex"}}))
    for key, value in others.items():
        assert not mine.covers(SecretUse.parse({**base, key: value})), key
    request = {"name": "bot", "request": "gateway", "at": ["/body/token"], "secret": "mine"}
    assert not mine.covers(SecretUse.parse(request))


HOSTS = ["*", "*.example.com", "api.example.com", "*.api.example.com", "b.example"]
TARGETS = st.builds(
    lambda scheme, host, prefixes, size, addresses: {
        "scheme": scheme,
        "host": host,
        "path_prefixes": prefixes,
        "max_message_bytes": size,
        "addresses": addresses,
    },
    st.sampled_from(["ws", "wss", "*"]),
    st.sampled_from(HOSTS),
    st.lists(st.sampled_from(["/", "/a", "/a/b", "/c"]), max_size=2, unique=True),
    st.sampled_from([1024, 4096]),
    st.sampled_from(["public", "private"]),
)
GRANTS = st.builds(
    lambda permissions, websocket, uses: {
        "permissions": [{"kind": "service", "name": name} for name in permissions],
        "websocket": websocket,
        "secrets": [
            {"name": name, "connection": "g", "at": sorted(at), "secret": stored}
            for name, (at, stored) in uses.items()
        ],
    },
    st.sets(st.sampled_from("abc"), max_size=2),
    st.lists(TARGETS, max_size=3),
    st.dictionaries(
        st.sampled_from("pq"),
        st.tuples(
            st.sets(st.sampled_from(["/x", "/y"]), min_size=1, max_size=2),
            st.sampled_from(["one", "two"]),
        ),
        max_size=2,
    ),
)
PLUGINS = st.builds(
    lambda grants, surfaces, config: {
        "id": "project:echo",
        "name": "echo",
        "version": "1",
        "digest": "sha256:" + "0" * 64,
        **({} if surfaces is None else {"surfaces": sorted(surfaces)}),
        **({} if config is None else {"config": config}),
        "grants": grants,
    },
    GRANTS,
    st.none() | st.sets(st.sampled_from(["tool", "service", "ingress"])),
    st.none() | st.just({"a": 1}),
)
WORKERS = st.builds(
    lambda turns, tools, notify: {
        "name": "agent",
        "model": "openai:m",
        **({} if turns is None else {"max_turns": turns}),
        "tools": [{"plugin": "echo", "tool": t, "approval": a} for t, a in tools.items()],
        "notify": [{"plugin": p, "per_minute": n} for p, n in notify.items()],
    },
    st.none() | st.integers(1, 20),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["deny", "ask", "auto"]), max_size=3),
    st.dictionaries(st.sampled_from("ab"), st.integers(1, 9), max_size=2),
)
PAIRS = st.one_of(
    st.tuples(st.just("plugin:echo"), PLUGINS, PLUGINS),
    st.tuples(st.just("worker:agent"), WORKERS, WORKERS),
)


@settings(max_examples=300)
@given(PAIRS)
def test_in_force_is_within_what_was_decided_and_within_the_file(pair):
    entry, decided, file = pair
    verdict = compare(entry, decided, file)
    if verdict.in_force is not None:
        assert compare(entry, decided, verdict.in_force).pending == []
        assert compare(entry, file, verdict.in_force).pending == []
    assert compare(entry, decided, verdict.keep).pending == [], "what stays decided never grows"


@settings(max_examples=300)
@given(PAIRS)
def test_recording_what_is_missing_and_reading_again_says_the_same(pair):
    entry, decided, file = pair
    once = compare(entry, decided, file)
    twice = compare(entry, once.keep, file)
    assert text(twice.in_force) == text(once.in_force)
    assert text(twice.keep) == text(once.keep)
    assert twice.narrowed == []


@settings(max_examples=300)
@given(PAIRS)
def test_what_was_recorded_as_missing_asks_when_it_returns(pair):
    entry, decided, file = pair
    once = compare(entry, decided, file)
    if once.narrowed:
        again = compare(entry, once.keep, decided)
        assert again.pending != [], "the whole of what was decided once"


PROBES = [
    f"{scheme}://{host}{path}"
    for scheme in ("ws", "wss")
    for host in ("x.example.com", "api.example.com", "c.api.example.com", "b.example", "d.org")
    for path in ("/", "/a", "/a/b/c", "/c", "/d")
]


@settings(max_examples=200)
@given(GRANTS, GRANTS)
def test_no_url_is_allowed_that_either_side_does_not_allow(left, right):
    from yoi.permissions import WEBSOCKET_SCHEMES, Url

    mine, theirs = (PermissionSet.parse(*(g.get(k, []) for k in GRANT_KEYS)) for g in (left, right))
    both = mine.within(theirs)
    for probe in PROBES:
        url = Url.parse(probe, WEBSOCKET_SCHEMES)
        if any(target.allows(url) for target in both.websocket):
            assert any(target.allows(url) for target in mine.websocket)
            assert any(target.allows(url) for target in theirs.websocket)
    assert mine.covers(both)
    assert theirs.covers(both)


@given(st.one_of(PLUGINS.map(lambda p: ("plugin:echo", p)), WORKERS.map(lambda w: ("worker:a", w))))
def test_taking_apart_and_joining_changes_no_meaning(pair):
    entry, content = pair
    joined = join(split(entry, content))
    assert compare(entry, content, joined).changes == []
    assert compare(entry, joined, content).changes == []


def test_a_document_comes_back_from_its_entries():
    document = {
        "plugins": {"enabled": [PLUGIN]},
        "workers": [WORKER, changed(WORKER, name="other")],
        "backend": {"runtimes": [{"id": "a", "url": "wss://a.example", "token": "t"}]},
        "observation": {"listen": "127.0.0.1:0"},
        "secrets": {"authorize": [{"name": "chat"}], "store": "file"},
        "network": {"x": 1},
        "flag": True,
    }
    entries = entries_of(document)
    assert set(entries) == {
        "plugin:echo",
        "worker:agent",
        "worker:other",
        "upstream:a",
        "observation",
        "secrets",
        "authorize:chat",
        "table:network",
        "table:flag",
    }
    assert document_of(entries) == document
    assert digest(entries) == digest(dict(reversed(entries.items())))
    assert digest(entries) != digest({**entries, "observation": {}})


def test_how_a_token_is_asked_for_says_nothing_about_the_store():
    rows = [{"name": "chat"}, {"name": "mail"}]
    assert set(entries_of({"secrets": {"authorize": rows}})) == {"authorize:chat", "authorize:mail"}
    document = {"secrets": {"authorize": rows}}
    assert document_of(entries_of(document)) == document
    assert entries_of({"secrets": {}}) == {"secrets": {}}


def test_two_of_one_name_are_no_entry():
    assert entries_of({"workers": [WORKER, WORKER, {"name": 3}, 7]}) == {}
    assert entries_of({"workers": 7, "plugins": {"enabled": {}}, "secrets": 1}) == {}


def test_a_rule_without_keys_has_none():
    assert dict(Rule(Kind.SETTING).keys) == {}


def test_more_memory_waits_and_less_is_applied():
    decided = {"grants": {"permissions": [], "memory_bytes": 128 * 2**20}}
    more = {"grants": {"permissions": [], "memory_bytes": 256 * 2**20}}
    wider = compare("plugin:echo", decided, more)
    assert wider.in_force is not None
    assert wider.in_force["grants"]["memory_bytes"] == 128 * 2**20
    assert [change.at for change in wider.pending] == ["grants.memory_bytes"]
    narrower = compare("plugin:echo", decided, {"grants": {"permissions": []}})
    assert narrower.in_force is not None
    assert "memory_bytes" not in narrower.in_force["grants"]
    assert narrower.pending == []


ODD = [True, 7, -1.5, "", "x", [], ["x"], [1], [[]], [{}], [{"name": []}], {}, {"x": [1]}]


@pytest.mark.parametrize("section", SECTIONS)
def test_whatever_stands_in_the_place_of_a_value_is_compared(section):
    """A yoi.toml is a stranger's: no value of it ends a command, and none is in force by itself."""
    one = {"plugin": PLUGIN, "worker": WORKER}.get(section, {})
    entry = f"{section}:x" if SECTIONS[section].many else section
    for name in (*SECTIONS[section].keys, "unknown"):
        for odd in ODD:
            file = {**one, name: odd}
            for decided in (one, {**one, name: "other"}, {**one, name: odd}, None):
                verdict = compare(entry, decided, file)
                assert verdict.in_force is None or isinstance(verdict.in_force, dict)
                again = compare(entry, file, file)
                assert (again.in_force, again.changes) == (file, [])

"""M4: which publications a machine goes by, and that it goes by no other."""

import base64
import json
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.cluster.publication import Expected, Publication, Seen, signed, verify
from yoi.errors import ClusterError
from yoi.limits import LIMITS
from yoi.secrets.publisher import PublicKey, PublisherKey

KEY, OTHER = PublisherKey(b"k" * 32), PublisherKey(b"o" * 32)
HOUR = 3_600_000
NOW = 1_800_000_000_000
MADE = Publication(
    deployment="d" * 32,
    name="desk",
    serial=7,
    issued_at_ms=NOW,
    expires_at_ms=NOW + 24 * HOUR,
    entries={"plugin:echo": {"id": "project:echo"}},
)
EXPECTED = Expected(KEY.public, "desk", None)
DATA = signed(MADE, KEY)
SEEN = verify(DATA, EXPECTED, NOW).seen


def code(data, expected=EXPECTED, now=NOW):
    with pytest.raises(ClusterError) as caught:
        verify(data, expected, now)
    assert caught.value.hint
    return caught.value.code


def changed(**fields):
    return signed(msgspec.structs.replace(MADE, **fields), KEY)


def test_what_the_operator_signed_is_taken_and_its_digest_remembered():
    found = verify(DATA, EXPECTED, NOW)
    assert found.publication == MADE
    assert found.seen == Seen("d" * 32, 7, SEEN.digest)
    # Again, and with a later one.
    after = replace(EXPECTED, seen=SEEN)
    assert verify(DATA, after, NOW + HOUR).publication == MADE
    assert verify(changed(serial=8), after, NOW).seen.serial == 8


@pytest.mark.parametrize(
    ("data", "expected", "now", "wanted"),
    [
        (signed(MADE, OTHER), EXPECTED, NOW, "cluster.signature"),
        (DATA, replace(EXPECTED, key=OTHER.public), NOW, "cluster.signature"),
        (DATA, replace(EXPECTED, name="other"), NOW, "cluster.deployment"),
        (changed(deployment="e" * 32), replace(EXPECTED, seen=SEEN), NOW, "cluster.deployment"),
        (changed(serial=6), replace(EXPECTED, seen=SEEN), NOW, "cluster.replayed"),
        (changed(entries={}), replace(EXPECTED, seen=SEEN), NOW, "cluster.replayed"),
        (DATA, EXPECTED, NOW + 24 * HOUR, "cluster.expired"),
        (DATA, EXPECTED, NOW - HOUR, "cluster.clock"),
        (changed(format=2), EXPECTED, NOW, "cluster.publication"),
        (b"{}", EXPECTED, NOW, "cluster.publication"),
        (b"x" * (LIMITS.publication_bytes + 1), EXPECTED, NOW, "cluster.publication"),
        (b"[" * 100_000, EXPECTED, NOW, "cluster.publication"),
    ],
)
def test_each_other_is_refused_with_its_code_and_remedy(data, expected, now, wanted):
    assert code(data, expected, now) == wanted


def test_a_signature_of_something_else_is_no_publication():
    payload = msgspec.json.encode(MADE)
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "key": str(KEY.public),
        # Without what a publication's signature begins with.
        "signature": base64.b64encode(KEY.sign(payload)).decode(),
    }
    assert code(json.dumps(envelope).encode()) == "cluster.signature"


@settings(max_examples=150)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_changes_nothing_that_is_obeyed(at, by):
    data = bytearray(DATA)
    data[at] ^= by
    try:
        found = verify(bytes(data), EXPECTED, NOW)
    except ClusterError as exc:
        refused = exc.code
        assert refused in ("cluster.signature", "cluster.publication")
    else:
        # A space in the envelope, or the key's name in it: what is signed is the same.
        assert found.publication == MADE


def test_what_is_too_large_is_not_signed():
    large = msgspec.structs.replace(MADE, entries={"plugin:a": {"config": "x" * 4_000_000}})
    with pytest.raises(ClusterError) as caught:
        signed(large, KEY)
    assert caught.value.code == "cluster.too_large"


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 44, "A" * 44])
def test_a_key_that_is_none(text):
    with pytest.raises(ValueError, match="yoi cluster key"):
        PublicKey.parse(text)
    assert PublicKey.parse(str(KEY.public)) == KEY.public

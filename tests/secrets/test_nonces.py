"""N6: the numbers of signatures only grow, whatever happens to the clock or to one of the files."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import SignatureError
from yoi.limits import LIMITS
from yoi.secrets.nonces import NonceStore

NOW = 1_700_000_000_000


STEPS = st.tuples(st.sampled_from(["next", "restart"]), st.integers(0, 2**41))


def files(tmp_path):
    return tmp_path / "w" / "nonces.json", tmp_path / "a" / "nonces.json"


def test_a_number_is_the_time_and_then_larger(tmp_path):
    store = NonceStore(*files(tmp_path))
    assert store.next("k", "us", NOW) == NOW * 1000
    assert store.next("k", "us", NOW) == NOW * 1000 + 1
    assert store.next("k", "ms", NOW) == NOW
    assert store.next("k", "s", NOW) == NOW // 1000
    assert store.next("k", "us", NOW + 1) == NOW * 1000 + 1000


@given(st.lists(STEPS, max_size=30))
def test_every_number_is_larger_than_those_before(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("n")
    store, last = NonceStore(*files(folder)), -1
    for step, now in steps:
        if step == "restart":
            store = NonceStore(*files(folder))
            continue
        number = store.next("k", "ms", now)
        assert number > last
        last = number


def test_two_processes_never_give_the_same(tmp_path):
    one, other = NonceStore(*files(tmp_path)), NonceStore(*files(tmp_path))
    given = [store.next("k", "us", NOW) for _ in range(50) for store in (one, other)]
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_file_gives_no_number_until_somebody_says_where_to_begin(tmp_path, lost):
    last = NonceStore(*files(tmp_path)).next("k", "us", NOW)
    files(tmp_path)[lost].unlink()
    store = NonceStore(*files(tmp_path))
    with pytest.raises(SignatureError) as caught:
        store.next("k", "us", NOW)
    assert caught.value.code == "signature.nonce"
    assert "yoi secret nonces k --beyond N" in (caught.value.hint or "")
    store.begin("k", last + 5)
    assert store.next("k", "us", 0) == last + 6
    assert NonceStore(*files(tmp_path)).next("k", "us", 0) > last + 6


@pytest.mark.parametrize("lost", [0, 1])
def test_what_is_kept_for_another_key_does_not_hide_that_a_file_was_lost(tmp_path, lost):
    last = NonceStore(*files(tmp_path)).next("k", "us", NOW)
    files(tmp_path)[lost].unlink()
    store = NonceStore(*files(tmp_path))
    store.next("new", "us", NOW)
    store.begin("other", 5)
    for one in (store, NonceStore(*files(tmp_path))):
        with pytest.raises(SignatureError, match="has lost the numbers"):
            one.next("k", "us", NOW)
    store.begin("k", last + 5)
    assert store.next("k", "us", 0) == last + 6
    assert NonceStore(*files(tmp_path)).next("new", "us", 0) > NOW * 1000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"k.us": -1}', b'{"k.us": "1"}', b"null"])
def test_a_damaged_file_gives_no_number(tmp_path, content):
    NonceStore(*files(tmp_path)).next("k", "us", NOW)
    path = files(tmp_path)[0]
    path.write_bytes(content)
    with pytest.raises(SignatureError) as caught:
        NonceStore(*files(tmp_path)).next("k", "us", NOW)
    assert caught.value.code == "signature.nonce"


def test_another_key_is_not_concerned(tmp_path):
    store = NonceStore(*files(tmp_path))
    store.next("a", "us", NOW)
    store.next("b", "us", NOW)
    assert set(store.used()) == {"a.us", "b.us"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_gives_no_number(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SignatureError):
        NonceStore(*files(tmp_path)).next("k", "us", NOW)


def test_a_path_that_is_no_folder_gives_no_number(tmp_path):
    (tmp_path / "w").write_text("")
    with pytest.raises(SignatureError) as caught:
        NonceStore(*files(tmp_path)).next("k", "us", NOW)
    assert caught.value.code == "signature.nonce"


def test_the_numbers_end_before_they_are_no_integers_any_more(tmp_path):
    store = NonceStore(*files(tmp_path))
    store.begin("k", 2**53 - 1 - LIMITS.nonce_reserve_ms)
    with pytest.raises(SignatureError) as caught:
        store.next("k", "ms", 0)
    assert caught.value.code == "signature.nonce"

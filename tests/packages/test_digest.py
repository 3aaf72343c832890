"""P9: the digest is deterministic, and the same as the ancestor's."""

import pytest

from yoi.packages import is_digest, package_digest


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "1d22f437233d2727ae9ddf72c696fb0c435349ba05498b7dbe840c25e790c3f4"),
        (
            {"a": b"hello", "b": b""},
            "d59dd97850623d23b4c4cecfe98de81eeccb27bc18c5cbe565229398ed3a67de",
        ),
        (
            {"plugin.toml": b"x"},
            "cf50ae5a057d4d4e650bcd9aebfb69ca211ee0292a117c5f20fb0f0de842ea8c",
        ),
    ],
)
def test_the_ancestors_vectors(files, expected):
    assert package_digest(files) == f"sha256:{expected}"


def test_order_does_not_matter_and_bytes_sort_before_code_points():
    files = {"z": b"1", "é": b"2", "\U0001f600": b"3", "\uffee": b"4"}
    assert package_digest(files) == package_digest(dict(reversed(files.items())))


def test_moving_a_byte_between_name_and_content_changes_it():
    assert package_digest({"ab": b"c"}) != package_digest({"a": b"bc"})
    assert package_digest({"a": b"1", "b": b"2"}) != package_digest({"a": b"2", "b": b"1"})


def test_pins_are_exact():
    digest = package_digest({})
    assert is_digest(digest)
    assert not is_digest(digest.upper())
    assert not is_digest(digest.removeprefix("sha256:"))
    assert not is_digest(digest + "\n")

"""The canary's search finds what it must; a search that cannot fail proves nothing."""

import base64
import json
import urllib.parse
from dataclasses import dataclass

import pytest
from tests.canary import Canaries

from yoi.types import Secret


@dataclass
class Holder:
    inner: object


class Slotted:
    __slots__ = ("hidden",)

    def __init__(self, hidden):
        self.hidden = hidden

    def __repr__(self):
        return "<Slotted>"


def raised(value):
    try:
        try:
            raise ValueError(value)
        except ValueError as exc:
            raise KeyError("harmless") from exc
    except KeyError as exc:
        return exc


@pytest.mark.parametrize(
    "leak",
    [
        lambda value: value,
        lambda value: f"log: {value} and more",
        lambda value: value.encode(),
        lambda value: bytearray(value.encode()),
        lambda value: {"a": [{"b": value}]},
        lambda value: {value: 1},
        lambda value: json.dumps({"a": value}),
        lambda value: json.dumps({"a": value}, ensure_ascii=False),
        lambda value: repr(value),
        lambda value: repr(value.encode()),
        lambda value: urllib.parse.quote(value),
        lambda value: urllib.parse.urlencode({"token": value}),
        lambda value: base64.b64encode(b"Basic x:" + value.encode() + b"!"),
        lambda value: base64.urlsafe_b64encode(b"ab" + value.encode()),
        lambda value: value.encode().hex(),
        lambda value: value[::-1],
        lambda value: value[12:34],
        lambda value: Holder(Holder(value)),
        lambda value: Slotted(value),
        lambda value: raised(value),
        lambda value: (frozenset({value}), 5),
    ],
)
def test_every_disguise_is_found(leak):
    canaries = Canaries()
    value = canaries.secret("app", prefix="xapp-")
    traces = canaries.grep_everything(harmless="nothing here", place=leak(value))
    assert traces
    assert {trace.canary for trace in traces} == {"app"}
    assert all(trace.place.startswith("place") for trace in traces)
    assert value not in repr(traces)


def test_files_are_searched(tmp_path):
    canaries = Canaries()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_text(f"x {canaries.secret('bot')} y")
    assert canaries.grep_everything(folder=tmp_path)
    assert canaries.grep_everything(file=tmp_path / "deep" / "log")


def test_what_holds_no_secret_is_clean():
    canaries = Canaries()
    value = canaries.secret("app")
    other = Canaries().secret("app")
    cycle = []
    cycle.append(cycle)
    assert (
        canaries.grep_everything(
            log="<secret app>",
            wrapped=Secret("app", value),
            other=other,
            numbers=[1, 2.5, None],
            c=cycle,
        )
        == []
    )

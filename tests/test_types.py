"""W9: a `Secret` shows its value to nobody who does not ask for it."""

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import msgspec
import pytest
from tests.canary import Canaries

from yoi.cli.output import document
from yoi.types import Secret

CANARIES = Canaries()
VALUE = CANARIES.secret("app")
SECRET = Secret("app", VALUE)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>40}".format,
        lambda s: f"{s:>40}",
        lambda s: "%s" % s,  # noqa: UP031
        lambda s: "%r" % [s],
        lambda s: json.dumps({"a": s}, default=str),
        lambda s: document({"a": s}),
        lambda s: msgspec.json.encode({"a": s}, enc_hook=repr),
        dir,
        lambda s: [getattr(s, name, None) for name in s.__slots__],
        lambda s: logging.LogRecord("n", 20, "p", 1, "%s", (s,), None).getMessage(),
    ],
)
def test_no_way_of_showing_it_shows_the_value(show):
    shown = show(SECRET)
    assert CANARIES.grep_everything(shown=shown) == []
    assert SECRET.reveal() == VALUE


@dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "take",
    [
        *(lambda s, p=p: pickle.dumps(s, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        msgspec.to_builtins,
        vars,
        iter,
        len,
        bytes,
        lambda s: s.__getstate__(),
        lambda s: asdict(Holder(s)),
        lambda s: s + "",
    ],
)
def test_what_would_take_it_out_is_refused_without_showing_it(take):
    with pytest.raises(TypeError) as caught:
        take(SECRET)
    assert CANARIES.grep_everything(words=str(caught.value)) == []


def test_a_traceback_with_locals_shows_only_the_name():
    def fails():
        held = SECRET
        raise RuntimeError(held)

    try:
        fails()
    except RuntimeError as exc:
        shown = "".join(
            traceback.TracebackException.from_exception(exc, capture_locals=True).format()
        )
    assert "<secret app>" in shown
    held_line = [line for line in shown.splitlines() if "held" in line]
    assert CANARIES.grep_everything(lines=held_line) == []


def test_two_are_equal_only_if_they_are_one():
    assert Secret("app", VALUE) != SECRET
    assert SECRET == SECRET

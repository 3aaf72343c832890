"""S1: what a guest gets of WASI is this list; every other import refuses."""

import pytest
from tests.sandbox import wat
from tests.sandbox.conftest import run_on_guest_thread

from yoi.errors import GuestTrapped
from yoi.limits import LIMITS
from yoi.sandbox import Guest, Sandbox, deny_all, wasi
from yoi.sandbox.state import GuestState, Stop

GRANTED = {
    "wasi:cli/exit#exit",
    "wasi:cli/exit#exit-with-code",
    "wasi:cli/stderr#get-stderr",
    "wasi:cli/stdin#get-stdin",
    "wasi:cli/stdout#get-stdout",
    "wasi:clocks/monotonic-clock#now",
    "wasi:clocks/monotonic-clock#resolution",
    "wasi:clocks/monotonic-clock#subscribe-duration",
    "wasi:clocks/monotonic-clock#subscribe-instant",
    "wasi:clocks/wall-clock#now",
    "wasi:clocks/wall-clock#resolution",
    "wasi:io/poll#[method]pollable.block",
    "wasi:io/poll#[method]pollable.ready",
    "wasi:io/poll#poll",
    "wasi:io/streams#[method]input-stream.subscribe",
    "wasi:io/streams#[method]output-stream.blocking-flush",
    "wasi:io/streams#[method]output-stream.blocking-write-and-flush",
    "wasi:io/streams#[method]output-stream.check-write",
    "wasi:io/streams#[method]output-stream.flush",
    "wasi:io/streams#[method]output-stream.subscribe",
    "wasi:io/streams#[method]output-stream.write",
    "wasi:random/insecure#get-insecure-random-bytes",
    "wasi:random/insecure#get-insecure-random-u64",
    "wasi:random/insecure-seed#insecure-seed",
    "wasi:random/random#get-random-bytes",
    "wasi:random/random#get-random-u64",
    "wasi:sockets/instance-network#instance-network",
}
"""Reviewed by a person: clocks, random numbers, captured output, and names without power."""


def test_the_grants_are_the_reviewed_list() -> None:
    assert set(wasi.grants(wasi.Types())) == GRANTED


def state() -> GuestState:
    made = GuestState(LIMITS, deny_all)
    made.begin(float("inf"))
    return made


def test_handles_are_counted_and_given_back() -> None:
    guest = state()
    give = wasi.grants(wasi.Types())["wasi:clocks/monotonic-clock#subscribe-duration"](None)
    reps = [give(guest, 0).rep for _ in range(LIMITS.guest_handles)]
    with pytest.raises(Stop) as stopped:
        give(guest, 0)
    assert stopped.value.code == "sandbox.host_calls"
    for rep in reps:
        guest.drop_handle(rep)
    assert not guest.timers
    # The refused one counts: the turn ends with it.
    assert all(give(guest, 0) for _ in range(LIMITS.guest_handles - 1))


def test_random_bytes_are_bounded() -> None:
    give = wasi.grants(wasi.Types())["wasi:random/random#get-random-bytes"](None)
    assert len(give(state(), 64)) == 64
    with pytest.raises(Stop):
        give(state(), LIMITS.random_bytes + 1)


def wasi_component(interface: str, function: str, signature: str, call: str) -> bytes:
    """A component whose tool makes one WASI call with a scalar result."""
    return wat.component(
        imports=f'(import "{interface}" (instance $w (export "{function}" (func {signature}))))',
        lowered=f'(core func $w_l (canon lower (func $w "{function}")))',
        core_imports=f'(import "w" "f" (func $w {call}))',
        instances='(with "w" (instance (export "f" (func $w_l))))',
        texts=("{}", '"zero"', '"other"'),
        handle_tool="(if (result i32) (i64.eqz (call $w)) "
        "(then (call $text1)) (else (call $text2)))",
    )


@pytest.mark.parametrize(
    ("interface", "function", "answer"),
    [
        ("wasi:clocks/monotonic-clock@0.2.0", "now", '"other"'),
        ("wasi:clocks/monotonic-clock@0.2.99", "now", '"other"'),
        ("wasi:random/random@0.2.6", "get-random-u64", '"other"'),
        ("wasi:secrets/store@0.1.0", "now", '"zero"'),
        ("wasi:clocks/monotonic-clock@0.2.0", "later", '"zero"'),
    ],
)
def test_a_grant_is_for_any_version_and_nothing_else(
    sandbox: Sandbox, interface: str, function: str, answer: str
) -> None:
    component = wasi_component(interface, function, "(result u64)", "(result i64)")

    def work() -> str:
        guest = sandbox.load_component(component)
        try:
            return guest.call_tool("t", "", 5_000)
        finally:
            guest.close()

    assert run_on_guest_thread(work) == answer


RANDOM = {
    "imports": '(import "wasi:random/random@0.2.0" (instance $r (export "get-random-bytes" '
    '(func (param "len" u64) (result (list u8))))))',
    "lowered": '(core func $g (canon lower (func $r "get-random-bytes") '
    "(memory $mem) (realloc $realloc)))",
    "core_imports": '(import "r" "g" (func $g (param i64 i32)))',
    "instances": '(with "r" (instance (export "g" (func $g))))',
}
TIMERS = {
    "imports": '(import "wasi:io/poll@0.2.0" (instance $poll '
    '(export "pollable" (type (sub resource)))))'
    '(alias export $poll "pollable" (type $pollable))'
    '(import "wasi:clocks/monotonic-clock@0.2.0" (instance $c (alias outer 1 $pollable (type $p)) '
    '(export "pollable" (type (eq $p))) (export "subscribe-duration" '
    '(func (param "when" u64) (result (own $p))))))',
    "lowered": '(core func $s (canon lower (func $c "subscribe-duration")))',
    "core_imports": '(import "c" "s" (func $s (param i64) (result i32)))',
    "instances": '(with "c" (instance (export "s" (func $s))))',
}


@pytest.mark.parametrize(
    ("parts", "body", "code"),
    [
        (RANDOM, "(call $g (i64.const -1) (i32.const 16)) (call $text0)", "sandbox.host_calls"),
        (
            RANDOM,
            "(loop $l (call $g (i64.const 65536) (i32.const 16)) (br $l)) unreachable",
            "sandbox.deadline",
        ),
        (
            TIMERS,
            "(loop $l (drop (call $s (i64.const 0))) (br $l)) unreachable",
            "sandbox.host_calls",
        ),
    ],
    ids=["random without end", "random for ever", "timers never given back"],
)
def test_a_component_cannot_use_up_the_host(
    sandbox: Sandbox, parts: dict[str, str], body: str, code: str
) -> None:
    component = wat.component(**parts, handle_tool=body)

    def work() -> str:
        guest = sandbox.load_component(component)
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "", 200)
        return trapped.value.code

    assert run_on_guest_thread(work) == code


def test_an_import_without_a_harmless_answer_ends_the_turn(sandbox: Sandbox) -> None:
    component = wat.component(
        imports='(import "wasi:evil/thing@0.2.0" (instance $w (export "f" (func (result f64)))))',
        lowered='(core func $w_l (canon lower (func $w "f")))',
        core_imports='(import "w" "f" (func $w (result f64)))',
        instances='(with "w" (instance (export "f" (func $w_l))))',
        handle_tool="(drop (call $w)) (call $text0)",
    )

    def work() -> str:
        guest: Guest = sandbox.load_component(component)
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "", 5_000)
        return trapped.value.message

    assert "wasi:evil/thing#f is not available" in run_on_guest_thread(work)

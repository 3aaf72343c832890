"""One Store, one lock, one budget: how guest calls end, over both bindings (S1, S3, S5)."""

import asyncio
import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import wat
from tests.sandbox.conftest import ECHO, run_on_guest_thread

from yoi.errors import GuestRefused, GuestTrapped, SandboxError
from yoi.limits import LIMITS, MIB
from yoi.protocol import lean
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.protocol.outcomes import AnswerRefused, Commands, HandlerFailed, Reply
from yoi.sandbox import Guest, Sandbox, direct
from yoi.sandbox.bindings import choose
from yoi.sandbox.direct import DirectBinding, fits
from yoi.sandbox.instance import Instance
from yoi.sandbox.plain import PlainBinding
from yoi.sandbox.state import Stop
from yoi.sandbox.threads import start_thread
from yoi.types import SessionId

BUDGET = 5_000


@pytest.fixture(scope="module", params=[DirectBinding, PlainBinding], ids=["direct", "plain"])
def sandbox(request: pytest.FixtureRequest, user_cache: Path) -> Sandbox:
    made = Sandbox(LIMITS, user_cache, binding=request.param())
    made.warm_up()
    return made


def frames(*texts: str) -> list[TextFrame]:
    session = SessionId("s")
    return [TextFrame("in", "gw", session, n + 1, t, 0, len(t)) for n, t in enumerate(texts)]


def with_guest(
    sandbox: Sandbox, component: bytes, use: Callable[[Guest], Any], host_calls: Any = None
) -> Any:
    def work() -> Any:
        extra = () if host_calls is None else (host_calls,)
        guest = sandbox.load_component(component, *extra)
        try:
            return use(guest)
        finally:
            guest.close()

    return run_on_guest_thread(work)


def with_echo(sandbox: Sandbox, use: Callable[[Guest], Any]) -> Any:
    def work() -> Any:
        guest = sandbox.load_python({"plugin.py": ECHO}, "plugin:Echo")
        try:
            guest.start("{}", BUDGET)
            return use(guest)
        finally:
            guest.close()

    return run_on_guest_thread(work)


def test_the_installed_wasmtime_fits_the_direct_binding() -> None:
    assert fits(), "Yoi would fall back to the plain binding: check direct.py against this version"


def test_another_wasmtime_gets_the_plain_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "version", lambda name: "51.0.0")
    assert not fits()
    assert isinstance(choose(), PlainBinding)


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "x", "\x00", "žluťoučký 🦊", "a\nb\r\n", "x" * 100_000, "🦊" * 50_000]
)
def test_text_crosses_unchanged(sandbox: Sandbox, text: str) -> None:
    assert with_echo(sandbox, lambda g: g.dispatch(frames(text), BUDGET)) == [Reply(text)]
    echoed = with_guest(sandbox, wat.component(), lambda g: g.call_tool("t", text, BUDGET))
    assert echoed == text


def test_a_batch_has_one_outcome_per_event(sandbox: Sandbox) -> None:
    texts = [f"{n}" for n in range(64)]

    def use(guest: Guest) -> list[Any]:
        outcomes: list[Any] = []
        while len(outcomes) < len(texts):
            found = guest.dispatch(frames(*texts)[len(outcomes) :], BUDGET)
            assert found, "a batch answers at least one event"
            outcomes += found
        return outcomes

    assert with_echo(sandbox, use) == [Reply(text) for text in texts]


def test_the_public_world(sandbox: Sandbox) -> None:
    component = wat.component(
        texts=('{"state":"ready"}', '{"output_commands":[]}', '{"error":{"code":"e"}}', "nonsense"),
        handle_ingress="(if (result i32) (i32.eq (local.get $ll0) (i32.const 2)) "
        "(then (call $text1)) (else (call $text2)))",
        stop="(call $text3)",
    )
    event = IngressEvent(
        kind=EventKind.OPEN,
        source="websocket:gw",
        ingress_name="other",
        payload={},
        created_at="2026-01-01T00:00:00.000Z",
        correlation_id="e1",
    )

    def use(guest: Guest) -> None:
        assert guest.start("null", BUDGET) == {"state": "ready"}
        assert guest.status(BUDGET) == {"state": "ready"}
        # This world takes one event at a time.
        assert guest.dispatch(frames("a", "b"), BUDGET) == [Commands([])]
        (failed,) = guest.dispatch([event], BUDGET)
        assert isinstance(failed, HandlerFailed)
        assert failed.kind == "e"
        with pytest.raises(GuestRefused) as refused:
            guest.stop(BUDGET)
        assert refused.value.code == "sandbox.answer_malformed"
        assert guest.alive

    with_guest(sandbox, component, use)


def test_an_answer_over_the_bound_is_refused_and_the_guest_lives(sandbox: Sandbox) -> None:
    big = wat.component(
        handle_tool=f"(call $pair (i32.const 0) (i32.const {LIMITS.answer_bytes + 1}))",
        handle_ingress=f"(call $pair (i32.const 0) (i32.const {LIMITS.answer_bytes + 1}))",
        pages=LIMITS.answer_bytes // 65536 + 2,
    )

    def use(guest: Guest) -> None:
        with pytest.raises(GuestRefused) as refused:
            guest.call_tool("t", "{}", BUDGET)
        assert refused.value.code == "sandbox.answer_too_large"
        (outcome,) = guest.dispatch(frames("x"), BUDGET)
        assert isinstance(outcome, AnswerRefused)
        assert outcome.code == "sandbox.answer_too_large"
        assert guest.status(BUDGET) == {}

    with_guest(sandbox, big, use)


_MANY = "','.join('\"%d\":1'%i for i in range(60000))"
DENSE = {
    "lists": "'[[[\"c\",\"websocket_send\",{\"json\":['+','.join(['[]']*60000)+']}]]]\\n'",
    "keys": f"'[[[\"c\",\"websocket_send\",{{'+{_MANY}+'}}]]]\\n'",
    "commands": "'[['+','.join('[null,\"k%d\",{}]'%i for i in range(20000))+']]\\n'",
}
FORGER = """
from yoi_pdk import Plugin
import yoi_runner.dispatch as d
B = {body}
class P(Plugin):
    def on_text(self, event, ctx): d._answer = lambda head, bodies: B
"""


@pytest.mark.parametrize("kind", sorted(DENSE))
def test_an_answer_of_too_many_values_is_not_decoded_and_costs_the_instance(
    sandbox: Sandbox, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "_decode_head", lambda _: pytest.fail("it was decoded"))

    def work() -> None:
        guest = sandbox.load_python(
            {"plugin.py": FORGER.format(body=DENSE[kind]).encode()}, "plugin:P"
        )
        guest.start("{}", BUDGET)
        with pytest.raises(GuestTrapped) as caught:
            guest.dispatch(frames("x"), BUDGET)
        assert caught.value.code == "sandbox.answer_too_large"
        assert "values" in caught.value.message
        assert not guest.alive

    run_on_guest_thread(work)


@pytest.mark.parametrize("ask", ["tool", "status", "stop"])
def test_every_answer_of_the_runner_is_counted(sandbox: Sandbox, ask: str) -> None:
    forger = f"""
from yoi_pdk import Plugin
import yoi_runner.session as s
class P(Plugin):
    def on_text(self, event, ctx):
        s._guarded = lambda work: '{{"ok":{{' + {_MANY} + '}}}}'
"""

    def work() -> None:
        guest = sandbox.load_python({"plugin.py": forger.encode()}, "plugin:P")
        guest.start("{}", BUDGET)
        guest.dispatch(frames("x"), BUDGET)
        asks = {
            "tool": lambda: guest.call_tool("t", "{}", BUDGET),
            "status": lambda: guest.status(BUDGET),
            "stop": lambda: guest.stop(BUDGET),
        }
        with pytest.raises(GuestTrapped) as caught:
            asks[ask]()
        assert caught.value.code == "sandbox.answer_too_large"
        assert not guest.alive

    run_on_guest_thread(work)


def test_text_full_of_punctuation_is_one_value(sandbox: Sandbox) -> None:
    text = "[{," * 100_000
    assert with_echo(sandbox, lambda guest: guest.dispatch(frames(text), BUDGET)) == [Reply(text)]


def test_a_component_whose_answer_has_too_many_values_is_discarded(sandbox: Sandbox) -> None:
    text = '{"a":[' + "[]," * 60_000 + "0]}"

    def use(guest: Guest) -> None:
        guest.start("{}", BUDGET)
        with pytest.raises(GuestTrapped) as caught:
            guest.call_tool("t", text, BUDGET)
        assert caught.value.code == "sandbox.answer_too_large"
        assert not guest.alive

    with_guest(sandbox, wat.component(), use)


def test_text_that_is_not_unicode_is_refused_before_the_guest_sees_it(sandbox: Sandbox) -> None:
    def use(guest: Guest) -> None:
        with pytest.raises(GuestRefused) as refused:
            guest.call_tool("t", "\ud800", BUDGET)
        assert refused.value.code == "service.invalid_event"
        assert guest.call_tool("t", "fine", BUDGET) == "fine"

    with_guest(sandbox, wat.component(), use)


# --- traps ---------------------------------------------------------------------------------------

TRAPS = {
    "spin": (wat.component(handle_tool=wat.SPIN), "sandbox.deadline"),
    "trap": (wat.component(handle_tool=wat.TRAP), "sandbox.trap"),
    "stack": (wat.component(handle_tool=wat.RECURSE), "sandbox.stack"),
    "outside": (
        wat.component(handle_tool="(call $pair (i32.const 0) (i32.const 0x7fffffff))"),
        "sandbox.trap",
    ),
    "divide": (
        wat.component(handle_tool="(i32.div_u (local.get $ll) (i32.const 0))"),
        "sandbox.trap",
    ),
    "load": (
        wat.component(handle_tool="(i32.load (i32.const -8))"),
        "sandbox.trap",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_discards_the_store(sandbox: Sandbox, name: str) -> None:
    component, code = TRAPS[name]

    def use(guest: Guest) -> None:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "{}", 50)
        assert trapped.value.code == code
        assert not guest.alive
        with pytest.raises(GuestTrapped) as gone:
            guest.status(BUDGET)
        assert gone.value.code == "sandbox.gone"

    with_guest(sandbox, component, use)


def test_memory_is_bounded_and_the_guest_sees_it(sandbox: Sandbox) -> None:
    """memory.grow answers -1 at the bound; the plugin lives on."""
    pages = LIMITS.guest_memory_bytes // 65536
    component = wat.component(
        texts=("{}", '{"a":"refused"}', '{"a":"grew"}'),
        handle_tool=f"(if (result i32) (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) "
        "(then (call $text1)) (else (call $text2)))",
    )
    use = lambda g: (g.call_tool("t", "", BUDGET), g.alive)  # noqa: E731
    assert with_guest(sandbox, component, use) == ('{"a":"refused"}', True)


def test_a_guest_has_the_memory_it_was_given(sandbox: Sandbox) -> None:
    pages = LIMITS.guest_memory_bytes // 65536
    component = wat.component(
        texts=("{}", '{"a":"refused"}', '{"a":"grew"}'),
        handle_tool=f"(if (result i32) (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) "
        "(then (call $text1)) (else (call $text2)))",
    )

    def load_and_use() -> str:
        more = 2 * LIMITS.guest_memory_bytes
        guest = sandbox.load_component(component, memory_bytes=more)
        try:
            return guest.call_tool("t", "", BUDGET)
        finally:
            guest.close()

    assert run_on_guest_thread(load_and_use) == '{"a":"grew"}'


def test_a_component_that_needs_more_memory_than_the_bound(sandbox: Sandbox) -> None:
    component = wat.component(pages=LIMITS.guest_memory_bytes // 65536 + 1)
    with pytest.raises(GuestTrapped) as trapped:
        with_guest(sandbox, component, lambda g: None)
    assert trapped.value.code == "sandbox.memory"


EMPTY = "(core module $e)"
REMEMBERING = "(core module $own (memory 1))"
OWN_MEMORY = "(core instance (instantiate $own))"


@pytest.mark.parametrize(
    ("parts", "bounded"),
    [
        ({"functions": "(table 1 funcref)" * LIMITS.guest_table_count}, False),
        ({"functions": "(table 1 funcref)" * (LIMITS.guest_table_count + 1)}, True),
        ({"lowered": REMEMBERING + OWN_MEMORY * (LIMITS.guest_memories - 1)}, False),
        ({"lowered": REMEMBERING + OWN_MEMORY * LIMITS.guest_memories}, True),
        ({"lowered": EMPTY + "(core instance (instantiate $e))" * 40}, False),
        ({"lowered": EMPTY + "(core instance (instantiate $e))" * LIMITS.guest_instances}, True),
    ],
)
def test_tables_and_instances_are_counted(
    sandbox: Sandbox, parts: dict[str, str], bounded: bool
) -> None:
    """Each lives in the host's memory, beside the guest's own."""
    component = wat.component(**parts)
    if not bounded:
        with_guest(sandbox, component, lambda g: g.start("{}", BUDGET))
        return
    with pytest.raises(GuestTrapped) as refused:
        with_guest(sandbox, component, lambda g: None)
    assert refused.value.code == "sandbox.memory"


def test_imports_are_counted(sandbox: Sandbox) -> None:
    one = '(import "wasi:x/y%d@0.2.0" (instance (export "f" (func))))'
    component = wat.component(imports="".join(one % n for n in range(LIMITS.component_imports + 1)))
    with pytest.raises(SandboxError) as refused:
        with_guest(sandbox, component, lambda g: None)
    assert (refused.value.code, "imported items" in refused.value.message) == (
        "sandbox.world",
        True,
    )


def test_a_start_function_runs_inside_the_budget(sandbox: Sandbox) -> None:
    """Instantiation runs guest code too."""
    component = wat.component(functions="(func $spin (loop $l (br $l))) (start $spin)")
    with pytest.raises(GuestTrapped) as trapped:
        run_on_guest_thread(lambda: sandbox.load_component(component, budget_ms=50))
    assert trapped.value.code == "sandbox.deadline"


# --- the world -----------------------------------------------------------------------------------

NO_STOP = wat.component().replace(b"\x04stop", b"\x04stap")
FOREIGN = {
    "unknown host interface": '(import "yoi:host/files@1.0.0" (instance (export "read" '
    '(func (param "p" string) (result string)))))',
    "unknown host version": '(import "yoi:host/log@2.0.0" (instance (export "log" '
    '(func (param "l" string) (param "m" string) (result string)))))',
    "another namespace": '(import "evil:thing/x" (instance (export "f" (func))))',
    "a bare function": '(import "f" (func))',
    "a resource of the host": '(import "yoi:host/log@1.0.0" (instance '
    '(export "r" (type (sub resource)))))',
    "another type": '(import "yoi:host/log@1.0.0" (instance (export "log" '
    '(func (param "l" string) (param "m" string) (result u32)))))',
}


@pytest.mark.parametrize("what", FOREIGN)
def test_an_import_that_is_no_part_of_the_world_is_refused(sandbox: Sandbox, what: str) -> None:
    with pytest.raises(SandboxError) as refused:
        with_guest(sandbox, wat.component(imports=FOREIGN[what]), lambda g: None)
    assert refused.value.code == "sandbox.world"


def test_a_missing_export_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as refused:
        with_guest(sandbox, NO_STOP, lambda g: None)
    assert refused.value.code == "sandbox.world"


def test_an_import_with_other_parameters_is_refused_by_value_or_type(sandbox: Sandbox) -> None:
    """A component may declare an import with parameters of its own; it gains nothing."""
    imports = (
        '(import "wasi:filesystem/types@9.9.9" (instance (export "open" '
        '(func (param "x" (list u64)) (result (result u64))))))'
    )
    use = lambda g: g.call_tool("t", "ok", BUDGET)  # noqa: E731
    assert with_guest(sandbox, wat.component(imports=imports), use) == "ok"


# --- host calls ----------------------------------------------------------------------------------


def state_get(loops: bool) -> bytes:
    """A component whose tool calls yoi:host/state.get once, or for ever."""
    call = "(call $get (local.get $lp) (local.get $ll) (i32.const 16))"
    return wat.component(
        imports='(import "yoi:host/state@1.0.0" (instance $state (export "get" '
        '(func (param "key" string) (result string)))))',
        lowered='(core func $get_l (canon lower (func $state "get") '
        "(memory $mem) (realloc $realloc)))",
        core_imports='(import "state" "get" (func $get (param i32 i32 i32)))',
        instances='(with "state" (instance (export "get" (func $get_l))))',
        handle_tool=f"(loop $l {call} (br $l)) unreachable" if loops else f"{call} (i32.const 16)",
    )


def test_a_host_call_is_refused_by_value(sandbox: Sandbox) -> None:
    answer = with_guest(sandbox, state_get(False), lambda g: g.call_tool("t", "key", BUDGET))
    assert '"denied.unsupported"' in answer


def test_a_host_call_reaches_the_runtime(sandbox: Sandbox) -> None:
    asked: list[tuple[str, str]] = []

    def host(op: str, argument: str) -> str:
        asked.append((op, argument))
        return '{"ok":"žluť"}'

    use = lambda g: g.call_tool("t", "k", BUDGET)  # noqa: E731
    assert with_guest(sandbox, state_get(False), use, host) == '{"ok":"žluť"}'
    assert asked == [("state.get", '["k"]')]


@pytest.mark.parametrize(
    "raised", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException, ValueError, MemoryError]
)
def test_no_exception_of_a_host_call_kills_the_process(
    sandbox: Sandbox, raised: type[BaseException]
) -> None:
    """Crash table, row 1: a BaseException that escapes an import is a segmentation fault."""

    def host(op: str, argument: str) -> str:
        raise raised("\x1b[2J")

    def use(guest: Guest) -> None:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "k", BUDGET)
        assert trapped.value.code == "sandbox.trap"
        assert raised.__name__ in trapped.value.message
        assert trapped.value.message.isprintable()

    with_guest(sandbox, state_get(False), use, host)


def test_a_host_call_that_answers_no_string_ends_the_turn(sandbox: Sandbox) -> None:
    def use(guest: Guest) -> str:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "k", BUDGET)
        return trapped.value.code

    assert with_guest(sandbox, state_get(False), use, lambda op, arg: 7) == "sandbox.trap"


def test_a_loop_around_a_host_call_is_counted(sandbox: Sandbox) -> None:
    calls = 0

    def host(op: str, argument: str) -> str:
        nonlocal calls
        calls += 1
        return "{}"

    def use(guest: Guest) -> str:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "k", 60_000)
        return trapped.value.code

    assert with_guest(sandbox, state_get(True), use, host) == "sandbox.host_calls"
    assert calls == LIMITS.host_calls_per_dispatch


def test_no_host_call_extends_the_budget(sandbox: Sandbox) -> None:
    """S5: a slow host call draws on the same budget; the guest never runs again after it."""
    calls = 0

    def host(op: str, argument: str) -> str:
        nonlocal calls
        calls += 1
        until = time.monotonic() + 0.03
        while time.monotonic() < until:
            pass
        return "{}"

    def use(guest: Guest) -> str:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "k", 50)
        return trapped.value.code

    assert with_guest(sandbox, state_get(True), use, host) == "sandbox.deadline"
    assert calls == 2


def test_a_guest_cannot_be_entered_from_its_own_host_call(sandbox: Sandbox) -> None:
    held: list[Guest] = []

    def host(op: str, argument: str) -> str:
        held[0].status(BUDGET)
        return "{}"

    def use(guest: Guest) -> str:
        held.append(guest)
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "k", BUDGET)
        return trapped.value.message

    message = with_guest(sandbox, state_get(False), use, host)
    assert "cannot be called from inside its own host call" in message


def test_a_host_call_may_use_another_guest(sandbox: Sandbox) -> None:
    """The inner guest's turn leaves the outer one's accounts alone."""

    def use(inner: Guest) -> Any:
        def host(op: str, argument: str) -> str:
            return inner.call_tool("t", "inner", BUDGET)

        outer = sandbox.load_component(state_get(False), host)
        try:
            return [outer.call_tool("t", "k", BUDGET) for _ in range(3)]
        finally:
            outer.close()

    assert with_guest(sandbox, wat.component(), use) == ["inner"] * 3


def test_host_errors_reach_the_thread_they_belong_to(sandbox: Sandbox) -> None:
    """Crash table, row 6: wasmtime-py keeps one pending exception for the whole process."""
    rounds, wrong = 60, []

    def work(number: int) -> None:
        def host(op: str, argument: str) -> str:
            raise ValueError(f"thread {number}")

        for _ in range(rounds):
            guest = sandbox.load_component(state_get(False), host)
            try:
                guest.call_tool("t", "k", BUDGET)
                wrong.append(f"{number}: no error")
            except GuestTrapped as exc:
                if f"thread {number}" not in exc.message:
                    wrong.append(f"{number}: {exc.message}")
            finally:
                guest.close()

    threads = [
        start_thread(lambda n=n: work(n), name="test-guest", stack_bytes=LIMITS.thread_stack_bytes)
        for n in range(8)
    ]
    for thread in threads:
        thread.join()
    assert not wrong


# --- output --------------------------------------------------------------------------------------


def test_output_is_captured_bounded_and_counted(sandbox: Sandbox) -> None:
    def use(guest: Guest) -> Any:
        assert guest.take_output() == []
        guest.call_tool("t", '{"expression": "print(1, 2) or print(\'\\\\x1b[2J\')"}', BUDGET)
        first = [(line.stream, line.text) for line in guest.take_output()]
        guest.call_tool(
            "t", '{"expression": "[print(\'x\' * 4000) for _ in range(100)] and 1"}', BUDGET
        )
        return first, guest.take_output(), guest.take_output()

    first, flood, after = with_echo(sandbox, use)
    assert [text for _, text in first] == ["1 2", "\\x1b[2J"]
    assert sum(len(line.text) for line in flood) <= LIMITS.log_bytes + 1024
    assert flood[-1].stream == "host"
    assert flood[-1].dropped > 300_000
    assert after == []


def test_the_guest_logs_with_a_level(sandbox: Sandbox) -> None:
    component = wat.component(
        texts=("warning",),
        **wat.with_log(
            "(call $log (i32.const 4096) (i32.const 7) (local.get $lp) (local.get $ll) "
            "(i32.const 16)) (i32.const 16)"
        ),
    )

    def use(guest: Guest) -> Any:
        assert guest.call_tool("t", "hot\x07", BUDGET) == '{"ok":{}}'
        (line,) = guest.take_output()
        return line.stream, line.level, line.text

    assert with_guest(sandbox, component, use) == ("log", "warning", "hot\\x07")


@pytest.mark.parametrize("megabytes", [1, 16, 60])
def test_a_giant_list_argument_neither_stalls_nor_fills_the_host(
    sandbox: Sandbox, megabytes: int
) -> None:
    """wasmtime-py lifts a list<u8> element by element: 1.4 s for each megabyte, in the lock."""
    if isinstance(sandbox._binding, PlainBinding):
        pytest.skip("the plain binding is slow here, which is why it is not the first choice")
    component = wat.component(
        **wat.with_bytes_import(
            f"(drop (call $write (i32.const 4096) (i32.const {megabytes * MIB}))) (call $text0)"
        ),
        pages=megabytes * 16 + 2,
    )

    def use(guest: Guest) -> str:
        try:
            return guest.call_tool("t", "", 2_000)
        except GuestTrapped as exc:
            return exc.code

    # Beyond 128 MiB of host values wasmtime itself ends the call.
    expected = "{}" if megabytes == 1 else "sandbox.answer_too_large"
    assert with_guest(sandbox, component, use) == expected


@pytest.mark.parametrize(
    "kind",
    [
        "(list (list u32))",
        "(list (list (list u32)))",
        "(list string)",
        "(list (tuple u32 u32))",
        "(option (list (list u8)))",
        "(result (list string))",
        "(tuple u32 (list string))",
        '(record (field "a" (list string)))',
        '(variant (case "a" (list string)))',
    ],
)
def test_an_import_of_nested_lists_that_wasi_does_not_know_is_refused(
    sandbox: Sandbox, kind: str
) -> None:
    """wasmtime takes a million lists over before anybody is asked; no deadline can stop it."""
    type_of, imports = kind, ""
    if kind.startswith(("(record", "(variant")):
        imports = f'(type $inner {kind}) (export "t" (type $t (eq $inner)))'
        type_of = "$t"
    component = wat.component(
        imports=f'(import "wasi:http/probe@0.2.0" (instance $probe {imports} '
        f'(export "write" (func (param "data" {type_of}) (result bool)))))',
    )
    with pytest.raises(SandboxError) as refused:
        run_on_guest_thread(lambda: sandbox.load_component(component))
    assert refused.value.code == "sandbox.world"
    assert "wasi:http/probe@0.2.0#write" in refused.value.message


def test_all_lists_of_one_import_have_one_bound() -> None:
    inner = direct._RawVal(13, 3, None, 0)
    texts = (direct._RawVal * 3)(*(direct._RawVal(6, n, None, 0) for n in range(3)))
    inner.data = ctypes.addressof(texts)
    rows = (direct._RawVal * 1000)(*(inner for _ in range(1000)))
    outer = direct._RawVal(13, 1000, ctypes.addressof(rows), 0)
    lifter = direct._Lifter(0, 100)
    found = lifter.lift(ctypes.addressof(outer))
    assert found[0] == [0, 1, 2]
    assert len(found) + sum(map(len, found)) == direct._LIST_ITEMS
    assert lifter.listed


def test_all_texts_of_one_import_have_one_bound() -> None:
    raw = ctypes.create_string_buffer(b"x" * 60)
    texts = (direct._RawVal * 2)(
        *(direct._RawVal(12, 60, ctypes.addressof(raw), 0) for _ in range(2))
    )
    lifter = direct._Lifter(0, 100)
    assert lifter.lift(ctypes.addressof(texts[0])) == "x" * 60
    with pytest.raises(Stop) as stopped:
        lifter.lift(ctypes.addressof(texts[1]))
    assert stopped.value.code == "sandbox.host_calls"


# --- deadlines -----------------------------------------------------------------------------------


def test_a_guest_on_a_busy_machine_is_late_and_not_trapped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own processor time is what counts: here it is given none, whatever the wall says."""
    if isinstance(sandbox._binding, PlainBinding):
        pytest.skip("the plain binding goes by the wall's clock")
    for clock in ("thread_time", "monotonic"):
        monkeypatch.setattr(f"yoi.sandbox.state.{clock}", lambda: 0.0)
    asked = []
    extend = Instance._extend
    monkeypatch.setattr(Instance, "_extend", lambda self: asked.append(0) or extend(self))

    def use(guest: Guest) -> Any:
        # Counts for as long as it takes until its deadline has come and gone twice.
        while len(asked) < 2:
            outcomes = guest.call_tool("t", '{"expression":"sum(range(2000000))"}', 40)
        return outcomes

    assert "1999999000000" in with_echo(sandbox, use)


def test_a_guest_that_is_late_for_ever_is_ended(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yoi.sandbox.state.thread_time", lambda: 0.0)

    def use(guest: Guest) -> str:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "", 20)
        assert not guest.alive
        return trapped.value.code

    component = wat.component(handle_tool=wat.SPIN)
    assert with_guest(sandbox, component, use) == "sandbox.deadline"


def test_a_guest_is_ended_by_its_own_time_long_before_the_walls(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(sandbox._binding, PlainBinding):
        pytest.skip("the plain binding goes by the wall's clock")
    extensions = []
    extend = Instance._extend

    def counted(self: Instance) -> int:
        extensions.append(ticks := extend(self))
        return ticks

    monkeypatch.setattr(Instance, "_extend", counted)
    fast = iter(range(0, 10**9, 3600))
    monkeypatch.setattr("yoi.sandbox.state.thread_time", lambda: float(next(fast)))

    def use(guest: Guest) -> str:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "", 200)
        return trapped.value.code

    component = wat.component(handle_tool=wat.SPIN)
    assert with_guest(sandbox, component, use) == "sandbox.deadline"
    assert extensions == [0], "its first deadline is its last"


# --- threads -------------------------------------------------------------------------------------


def test_the_main_thread_never_runs_a_guest(sandbox: Sandbox) -> None:
    """Crash table, row 1: Ctrl-C in the main thread during a host import."""
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(RuntimeError, match="main thread"):
        sandbox.load_component(wat.component())


def test_an_event_loop_never_runs_a_guest(sandbox: Sandbox) -> None:
    found: list[str] = []

    async def load() -> None:
        try:
            sandbox.load_component(wat.component())
        except RuntimeError as exc:
            found.append(str(exc))

    thread = threading.Thread(target=lambda: asyncio.run(load()))
    thread.start()
    thread.join()
    assert "event loop" in found[0]


def test_a_thread_with_a_small_stack_never_runs_a_guest(sandbox: Sandbox) -> None:
    """Crash table, row 3: a guest stack overflow on a small stack is a segmentation fault."""
    found: list[str] = []

    def load() -> None:
        try:
            sandbox.load_component(wat.component())
        except RuntimeError as exc:
            found.append(str(exc))

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=load)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert "stack" in found[0]


def test_an_ordinary_thread_with_a_large_stack_may_run_a_guest(sandbox: Sandbox) -> None:
    found: list[str] = []

    def load() -> None:
        guest = sandbox.load_component(TRAPS["stack"][0])
        try:
            guest.call_tool("t", "", BUDGET)
        except GuestTrapped as exc:
            found.append(exc.code)

    before = threading.stack_size(LIMITS.thread_stack_bytes)
    try:
        thread = threading.Thread(target=load)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert found == ["sandbox.stack"]


def test_two_threads_take_turns_in_one_store(sandbox: Sandbox) -> None:
    """Crash table, row 2: two threads in one Store at once abort the process."""
    inside, release = threading.Event(), threading.Event()

    def host(op: str, argument: str) -> str:
        inside.set()
        release.wait(10)
        return "{}"

    def use(guest: Guest) -> Any:
        results: list[Any] = []
        other = start_thread(
            lambda: results.append(guest.call_tool("t", "k", BUDGET)),
            name="test-guest",
            stack_bytes=LIMITS.thread_stack_bytes,
        )
        assert inside.wait(10)
        with pytest.raises(GuestRefused) as busy:
            guest.status(10)
        release.set()
        other.join()
        return busy.value.code, results, guest.status(BUDGET)

    assert with_guest(sandbox, state_get(False), use, host) == ("sandbox.deadline", ["{}"], {})


def test_close_during_a_call_takes_effect_when_it_ends(sandbox: Sandbox) -> None:
    inside, release = threading.Event(), threading.Event()

    def host(op: str, argument: str) -> str:
        inside.set()
        release.wait(10)
        return "{}"

    def use(guest: Guest) -> Any:
        results: list[Any] = []
        other = start_thread(
            lambda: results.append(guest.call_tool("t", "k", BUDGET)),
            name="test-guest",
            stack_bytes=LIMITS.thread_stack_bytes,
        )
        assert inside.wait(10)
        guest.close()
        assert not guest.alive
        release.set()
        other.join()
        with pytest.raises(GuestTrapped) as gone:
            guest.status(BUDGET)
        return results, gone.value.code

    assert with_guest(sandbox, state_get(False), use, host) == (["{}"], "sandbox.gone")


def test_plugins_never_share_an_interpreter(sandbox: Sandbox) -> None:
    def use(first: Guest) -> Any:
        second = sandbox.load_python({"plugin.py": ECHO}, "plugin:Echo")
        try:
            second.start("{}", BUDGET)
            first.call_tool("t", '{"expression": "setattr(json, \'secret\', 1)"}', BUDGET)
            seen = second.call_tool("t", '{"expression": "hasattr(json, \'secret\')"}', BUDGET)
        finally:
            second.close()
        return seen

    assert "False" in with_echo(sandbox, use)


def test_a_file_that_is_not_text_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(GuestRefused) as refused:
        run_on_guest_thread(lambda: sandbox.load_python({"plugin.py": b"\xff"}, "plugin:Echo"))
    assert refused.value.code == "sandbox.load"


def test_smaller_limits_hold(user_cache: Path) -> None:
    """Bounds come from the Limits a Sandbox was given, not from the defaults."""
    small = replace(LIMITS, host_calls_per_dispatch=3, guest_memory_bytes=4 * MIB)
    sandbox = Sandbox(small, user_cache)

    def use(guest: Guest) -> str:
        with pytest.raises(GuestTrapped) as trapped:
            guest.call_tool("t", "k", BUDGET)
        return trapped.value.message

    assert "more than 3 host calls" in with_guest(sandbox, state_get(True), use)
    with pytest.raises(GuestTrapped) as trapped:
        with_guest(sandbox, wat.component(pages=65), lambda g: None)
    assert trapped.value.code == "sandbox.memory"

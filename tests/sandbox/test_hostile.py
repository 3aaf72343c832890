"""S8, S1: each plugin of hostile/ ends in a typed diagnostic while a neighbour keeps answering.

Every stage runs on the scheduler's real threads, through the real runner. A file that is not in the
table fails, so does a code that is not in `CODES`, and so does a string a terminal would obey.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.conftest import ECHO

from yoi.errors import CODES, GuestRefused, GuestTrapped
from yoi.limits import LIMITS
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import AnswerRefused, HandlerFailed, Outcome, Reply
from yoi.sandbox import Guest, Sandbox, Scheduler
from yoi.types import SessionId

FOLDER = Path(__file__).parent / "hostile"
DEADLINE, CALLS = "sandbox.deadline", "sandbox.host_calls"
STACK, MEMORY, TRAP = "sandbox.stack", "sandbox.memory", "sandbox.trap"
MALFORMED, LARGE = "sandbox.answer_malformed", "sandbox.answer_too_large"
RAISED, LOAD, START = "sandbox.exception", "sandbox.load", "sandbox.start"
COMMAND = "service.command_malformed"
HARMLESS = "harmless"
"""The plugin hurt nobody but itself: it answered, and the host saw an ordinary answer."""

# What each plugin may end in. More than one where the outcome depends on the machine's speed, or
# on which of two bounds it meets first.
EXPECTED: dict[str, set[str] | frozenset[str]] = {
    # time
    "loop_forever": {DEADLINE},
    "loop_catching_everything": {DEADLINE},
    "loop_clock": {CALLS, DEADLINE},
    "loop_wall_clock": {CALLS, DEADLINE},
    "loop_random": {CALLS, DEADLINE},
    "loop_log": {CALLS, DEADLINE},
    "loop_print": {CALLS, DEADLINE},
    "loop_sleep_short": {DEADLINE},
    "sleep_long": {DEADLINE},
    "select_long": {DEADLINE},
    "loop_at_import": {DEADLINE},
    "loop_in_start": {DEADLINE},
    "loop_in_tool": {DEADLINE},
    "loop_in_status": {DEADLINE},
    "loop_in_stop": {DEADLINE},
    "loop_in_finalizer": {DEADLINE},
    "loop_in_str_of_exception": {DEADLINE},
    "loop_in_trace": {DEADLINE},
    "loop_endless_answer": {RAISED},
    "regex_bomb": {DEADLINE},
    "bigint_bomb": {DEADLINE, RAISED, MEMORY},
    "int_parse_bomb": {DEADLINE},
    "sort_bomb": {DEADLINE, RAISED, MEMORY},
    "fibonacci_bomb": {DEADLINE},
    # memory
    "memory_at_once": {MEMORY, RAISED},
    "memory_in_pieces": {MEMORY, RAISED},
    "memory_doubling": {MEMORY, RAISED},
    "memory_dict": {DEADLINE, MEMORY},
    "memory_at_import": {MEMORY},
    "memory_kept": {
        MEMORY,
        RAISED,
        STACK,
        TRAP,
    },  # not a byte may be left to build the exception with
    "inflate_bomb": {DEADLINE, MEMORY},
    # recursion
    "recursion_python": {RAISED},
    "recursion_unlimited": {STACK, DEADLINE},
    "recursion_json": {STACK, RAISED},
    "recursion_repr": {STACK, DEADLINE, RAISED},
    "recursion_compile": {RAISED, STACK, MEMORY},
    "recursion_eq": {RAISED, STACK},
    "recursion_getattr": {RAISED, STACK},
    # output
    "giant_reply": {LARGE, RAISED, MEMORY},
    "giant_reply_wide": {LARGE, RAISED, MEMORY},
    "giant_print": {RAISED},
    "giant_log": {RAISED},
    "many_lines": {RAISED},
    "giant_exception": {RAISED},
    "giant_status": {START},
    "giant_tool_answer": {LARGE, RAISED},
    "many_commands": {RAISED},
    # forged answers
    "forged_not_json": {MALFORMED},
    "forged_empty": {MALFORMED},
    "forged_no_body": {MALFORMED},
    "forged_no_outcomes": {MALFORMED},
    "forged_too_many_outcomes": {MALFORMED},
    "forged_head_object": {MALFORMED},
    "forged_negative_length": {MALFORMED},
    "forged_huge_length": {MALFORMED},
    "forged_body_left_over": {MALFORMED},
    "forged_float": {MALFORMED},
    "forged_true": {MALFORMED},
    "forged_string": {MALFORMED},
    "forged_deep_json": {"sandbox.answer_too_large"},
    "forged_duplicate_ids": {COMMAND},
    "forged_command_shape": {COMMAND},
    "forged_payload_list": {COMMAND},
    "forged_id_number": {COMMAND},
    "forged_id_long": {COMMAND},
    "forged_id_terminal": {COMMAND},
    "forged_many_commands": {"sandbox.answer_too_large"},
    "forged_surrogate": {TRAP},
    "forged_none": {TRAP},
    "forged_bytes": {TRAP},
    "forged_error_types": {RAISED},
    "lying_reply_text": {RAISED},
    "lying_str_subclass": {HARMLESS, RAISED, MALFORMED},  # the runner counts for itself
    "lying_return": {RAISED},
    "lying_command": {RAISED},
    "lying_coroutine": {RAISED},
    # exceptions
    **dict.fromkeys(
        (
            "raise_system_exit",
            "raise_keyboard_interrupt",
            "raise_base_exception",
            "raise_generator_exit",
            "raise_stop_iteration",
            "raise_recursion_error",
            "raise_exception_group",
            "raise_bad_str",
        ),
        frozenset({RAISED}),
    ),
    "raise_memory_error": {MEMORY},
    "raise_at_import": {LOAD},
    "raise_in_start": {START},
    "raise_in_init": {START},
    "syntax_error": {LOAD},
    "null_bytes": {LOAD},
    # escapes
    **dict.fromkeys(
        (
            "escape_read_file",
            "escape_write_file",
            "escape_relative_file",
            "escape_proc",
            "escape_list_root",
            "escape_mkdir",
            "escape_environment",
            "escape_socket",
            "escape_udp",
            "escape_listen",
            "escape_resolve",
            "escape_http",
            "escape_subprocess",
            "escape_system",
            "escape_exec",
            "escape_fork",
            "escape_kill",
            "escape_thread",
            "escape_stdin",
            "escape_host_modules",
            "escape_host_call_unknown",
            "escape_host_call_garbage",
        ),
        frozenset({RAISED}),
    ),
    "escape_host_call_giant": {CALLS},
    "escape_ctypes": {LOAD},
    "escape_ctypes_private": {LOAD},
    "escape_mmap": {LOAD},
    "escape_asyncio": {LOAD, RAISED},
    "escape_exit": {TRAP},
    "escape_abort": {TRAP},
    "escape_segfault": {TRAP},
    "sabotage_builtins": {RAISED, TRAP, MALFORMED},
    "sabotage_json": {TRAP, MALFORMED, RAISED},
    "sabotage_modules": {HARMLESS, TRAP, MALFORMED, RAISED},  # it may miss what matters
    "terminal_everywhere": {START},
    "terminal_at_import": {LOAD},
}


def budgets(name: str) -> tuple[int, int]:
    """Return load and turn budgets: short where the budget is the point, else ample."""
    return (300, 100) if DEADLINE in EXPECTED[name] else (LIMITS.load_ms, 5_000)


class Lanes:
    """Turns on the real scheduler, waited for by the test."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def begin(self, key: str, work: Callable[[], Any]) -> "Pending":
        pending = Pending(work)
        self.scheduler.submit(key, pending.run)
        return pending

    def run(self, key: str, work: Callable[[], Any]) -> Any:
        return self.begin(key, work).result()


class Pending:
    """A turn's result, once it is there."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as exc:
            self._error = exc
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def result(self) -> Any:
        assert self._done.wait(30), "a turn outlived every budget"
        if self._error is not None:
            raise self._error
        return self._value


@pytest.fixture(scope="module")
def lanes() -> Any:
    scheduler = Scheduler(LIMITS)
    yield Lanes(scheduler)
    assert scheduler.close()


class Neighbour:
    """A well-behaved plugin on the same host."""

    def __init__(self, sandbox: Sandbox, lanes: Lanes) -> None:
        self._lanes = lanes
        self._guest: Guest = lanes.run(
            "neighbour", lambda: sandbox.load_python({"plugin.py": ECHO}, "plugin:Echo")
        )
        lanes.run("neighbour", lambda: self._guest.start("{}", LIMITS.start_ms))
        self._count = 0

    def ask(self) -> None:
        self._count += 1
        text = f"question {self._count}"
        outcomes = self._lanes.run(
            "neighbour", lambda: self._guest.dispatch([frame(text)], LIMITS.dispatch_ms)
        )
        assert outcomes == [Reply(text)]


@pytest.fixture(scope="module")
def neighbour(sandbox: Sandbox, lanes: Lanes) -> Neighbour:
    return Neighbour(sandbox, lanes)


def frame(text: str, seq: int = 1) -> TextFrame:
    return TextFrame("in", "gateway", SessionId("session"), seq, text, 0, len(text))


class Attack:
    """One hostile plugin taken through its whole life; `found` is its first diagnostic."""

    def __init__(self, name: str, sandbox: Sandbox) -> None:
        self._source = (FOLDER / f"{name}.py").read_bytes()
        self._load_ms, self._turn_ms = budgets(name)
        self._sandbox = sandbox
        self.code: str | None = None
        self.shown: list[str] = []
        self.traces: list[str] = []
        self.dropped = 0
        self.undead = False

    def run(self) -> None:
        guest = None
        try:
            guest = self._sandbox.load_python(
                {"plugin.py": self._source}, "plugin:Hostile", budget_ms=self._load_ms
            )
            guest.start("{}", 2 * self._turn_ms)
            for outcome in guest.dispatch([frame("x")], self._turn_ms):
                self._note(outcome)
            if self.code is None:
                self._tool(guest)
                guest.status(self._turn_ms)
                guest.stop(self._turn_ms)
        except (GuestTrapped, GuestRefused) as exc:
            self.code = exc.code
            self.shown += [exc.message, str(exc), repr(exc), str(exc.fields.get("type", ""))]
            self.traces.append(str(exc.fields.get("trace", "")))
            self.undead = isinstance(exc, GuestTrapped) and guest is not None and guest.alive
        finally:
            if guest is not None:
                for line in guest.take_output():
                    self.shown.append(line.text)
                    self.dropped += line.dropped
                guest.close()

    def _tool(self, guest: Guest) -> None:
        try:
            guest.call_tool("tool", "{}", self._turn_ms)
        except GuestRefused as exc:
            if "has no on_tool" not in exc.message:
                raise

    def _note(self, outcome: Outcome) -> None:
        if isinstance(outcome, HandlerFailed):
            self.code = outcome.code
            self.shown += [outcome.kind, outcome.message]
            self.traces.append(outcome.trace)
        elif isinstance(outcome, AnswerRefused):
            self.code = outcome.code
            self.shown.append(outcome.message)


def test_the_corpus_is_the_table() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXPECTED)
    assert len(EXPECTED) >= 40
    assert set().union(*EXPECTED.values()) - {HARMLESS} <= set(CODES)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_hostile_plugin(name: str, sandbox: Sandbox, lanes: Lanes, neighbour: Neighbour) -> None:
    attack = Attack(name, sandbox)
    pending = lanes.begin("hostile", attack.run)
    neighbour.ask()
    while not pending.done:
        neighbour.ask()
    pending.result()
    neighbour.ask()

    assert (attack.code or HARMLESS) in EXPECTED[name]
    assert not attack.undead, "a trapped instance can still be called"
    for text in attack.shown:
        assert text.isprintable(), f"a terminal would obey {text!r}"
        assert len(text) <= 2 * LIMITS.message_chars + 64
    for trace in attack.traces:
        assert all(line.isprintable() for line in trace.split("\n"))
        assert len(trace) <= 8 * LIMITS.message_chars


def test_many_spinning_plugins_do_not_starve_a_neighbour(
    sandbox: Sandbox, lanes: Lanes, neighbour: Neighbour
) -> None:
    """S8: more spinners and sleepers than there are threads; the neighbour still answers."""
    names = ("loop_forever", "sleep_long", "loop_catching_everything", "regex_bomb")
    attacks = [Attack(names[n % 4], sandbox) for n in range(LIMITS.guest_threads + 8)]
    pending = [lanes.begin(f"hostile-{n}", attack.run) for n, attack in enumerate(attacks)]
    asked = 0
    while not all(one.done for one in pending):
        neighbour.ask()
        asked += 1
    for one in pending:
        one.result()
    assert {attack.code for attack in attacks} == {DEADLINE}
    assert asked > 1

"""WASI without authority: clocks, random numbers and captured output; all else is refused.

The denials are made from the component's own import types, so they do not depend on a WASI
version. A denial is a value of the result type (its error case, an empty list, none, zero): guests
see a clean refusal. Only a function whose result leaves no such value ends the guest's turn.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from wasmtime.component import Variant

from yoi.sandbox.binding import Datetime, HostResource
from yoi.sandbox.state import GuestState, Stop

STDIN, STDOUT, STDERR, NETWORK, READY = 1, 2, 3, 4, 5
"""Numbers of the host resources that are the same for every guest."""

_WRITE_CHUNK = 4096
_REFUSALS = ("not-permitted", "access", "access-denied", "not-supported", "closed")


class Types:
    """The host's resource types: one number per resource name, shared by all its interfaces."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def id_of(self, resource: str) -> int:
        """Return the number of the resource type called `resource`."""
        return self._ids.setdefault(resource, 1000 + len(self._ids))


class NoDenial(Exception):
    """A result type has no value that could mean a refusal."""


def denial(ty: Any) -> Any:
    """Return a value of the result type `ty` that means "refused". Raises NoDenial."""
    if ty is None:
        return None
    name = type(ty).__name__
    if name == "ResultType":
        return _tagged(ty, "err", _refusal(ty.err))
    if name == "ListType":
        return b"" if ty._is_bytes() else []
    if name == "OptionType":
        return None
    if name == "Bool":
        return False
    if name in {"U8", "U16", "U32", "U64", "S8", "S16", "S32", "S64"}:
        return 0
    if name == "String":
        return ""
    raise NoDenial(name)


def _tagged(ty: Any, tag: str, payload: Any = None) -> Any:
    # wasmtime-py wants a Variant only where the payloads do not tell the cases apart.
    return Variant(tag, payload) if ty._tagged() else payload


def _refusal(ty: Any) -> Any:
    if ty is None:
        return None
    name = type(ty).__name__
    if name == "EnumType":
        return next((case for case in _REFUSALS if case in ty.names), ty.names[0])
    if name == "VariantType":
        plain = [case for case, payload in ty.cases if payload is None]
        chosen = next((case for case in _REFUSALS if case in plain), None)
        if chosen is None and plain:
            chosen = plain[0]
        if chosen is not None:
            return _tagged(ty, chosen)
    raise NoDenial(name)


def _now(state: GuestState) -> int:
    return time.monotonic_ns()


def _resolution(state: GuestState) -> int:
    return 1000


def _wall_now(state: GuestState) -> Datetime:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return Datetime(seconds, nanoseconds)


def _wall_resolution(state: GuestState) -> Datetime:
    return Datetime(0, 1000)


def _random_bytes(state: GuestState, count: int) -> bytes:
    if count > state.limits.random_bytes:
        raise Stop(
            "sandbox.host_calls", f"more than {state.limits.random_bytes} random bytes at once"
        )
    return os.urandom(count)


def _random_u64(state: GuestState) -> int:
    return int.from_bytes(os.urandom(8), "little")


def _insecure_seed(state: GuestState) -> tuple[int, int]:
    return _random_u64(state), _random_u64(state)


def _exit(state: GuestState, *_status: Any) -> None:
    raise Stop("sandbox.trap", "the guest asked to exit")


def _poll_one(state: GuestState, rep: int) -> None:
    state.sleep_until(state.timers.get(rep, 0.0))


def _poll_ready(state: GuestState, rep: int) -> bool:
    return state.timers.get(rep, 0.0) <= time.monotonic()


def _poll(state: GuestState, reps: list[int]) -> list[int]:
    if not reps:
        raise Stop("sandbox.trap", "the guest polled nothing")
    dues = [state.timers.get(rep, 0.0) for rep in reps]
    state.sleep_until(min(dues))
    now = time.monotonic()
    return [index for index, due in enumerate(dues) if due <= now] or [dues.index(min(dues))]


NESTED = frozenset(
    {
        "wasi:http/types#[static]fields.from-list",
        "wasi:http/types#[method]fields.set",
        "wasi:http/types#[method]fields.set-and-get",
        "wasi:sockets/udp#[method]outgoing-datagram-stream.send",
    }
)
"""The functions of WASI that take lists of lists. No other import may: it is made to cost time."""

_STREAMS = {STDOUT: "stdout", STDERR: "stderr"}


def _capture(state: GuestState, rep: int, data: Any) -> None:
    stream = _STREAMS.get(rep)
    if stream is not None and data:
        state.output.write(stream, data, getattr(data, "full_size", len(data)))


def grants(types: Types) -> dict[str, Callable[[Any], Callable[..., Any]]]:
    """Return what is granted: `interface#function` without version -> maker of its handler.

    A maker takes the function's result type, because answers are shaped by it.
    """

    def plain(handler: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
        return lambda _ty: handler

    def ok(handler: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
        def make(ty: Any) -> Callable[..., Any]:
            return lambda state, *args: _tagged(ty, "ok", handler(state, *args))

        return make

    def gives(resource: str, rep: int) -> Callable[[Any], Callable[..., Any]]:
        type_id = types.id_of(resource)

        def handler(state: GuestState, *_args: Any) -> HostResource:
            state.count_handle()
            return HostResource(rep, type_id)

        return plain(handler)

    pollable = types.id_of("pollable")

    def subscribe_duration(state: GuestState, nanoseconds: int) -> HostResource:
        state.count_handle()
        return HostResource(state.new_timer(time.monotonic() + nanoseconds / 1e9), pollable)

    def subscribe_instant(state: GuestState, nanoseconds: int) -> HostResource:
        state.count_handle()
        return HostResource(state.new_timer(nanoseconds / 1e9), pollable)

    def check_write(state: GuestState, _rep: int) -> int:
        return _WRITE_CHUNK

    def nothing(state: GuestState, *_args: Any) -> None:
        return None

    io, clocks, random, cli = "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/"
    stream = f"{io}streams#[method]output-stream."
    return {
        f"{clocks}monotonic-clock#now": plain(_now),
        f"{clocks}monotonic-clock#resolution": plain(_resolution),
        f"{clocks}monotonic-clock#subscribe-duration": plain(subscribe_duration),
        f"{clocks}monotonic-clock#subscribe-instant": plain(subscribe_instant),
        f"{clocks}wall-clock#now": plain(_wall_now),
        f"{clocks}wall-clock#resolution": plain(_wall_resolution),
        f"{io}poll#[method]pollable.block": plain(_poll_one),
        f"{io}poll#[method]pollable.ready": plain(_poll_ready),
        f"{io}poll#poll": plain(_poll),
        f"{random}random#get-random-bytes": plain(_random_bytes),
        f"{random}random#get-random-u64": plain(_random_u64),
        f"{random}insecure#get-insecure-random-bytes": plain(_random_bytes),
        f"{random}insecure#get-insecure-random-u64": plain(_random_u64),
        f"{random}insecure-seed#insecure-seed": plain(_insecure_seed),
        f"{cli}stdin#get-stdin": gives("input-stream", STDIN),
        f"{cli}stdout#get-stdout": gives("output-stream", STDOUT),
        f"{cli}stderr#get-stderr": gives("output-stream", STDERR),
        f"{cli}exit#exit": plain(_exit),
        f"{cli}exit#exit-with-code": plain(_exit),
        f"{stream}check-write": ok(check_write),
        f"{stream}write": ok(_capture),
        f"{stream}blocking-write-and-flush": ok(_capture),
        f"{stream}flush": ok(nothing),
        f"{stream}blocking-flush": ok(nothing),
        f"{stream}subscribe": gives("pollable", READY),
        f"{io}streams#[method]input-stream.subscribe": gives("pollable", READY),
        # A network is only a name: every function that takes one refuses.
        "wasi:sockets/instance-network#instance-network": gives("network", NETWORK),
    }


def handler_for(
    name: str, ty: Any, granted: Mapping[str, Callable[[Any], Callable[..., Any]]]
) -> Callable[..., Any]:
    """Return the handler of the import `name` (`interface#function`) with the result type `ty`."""
    maker = granted.get(name)
    if maker is not None:
        return maker(ty)
    try:
        refused = denial(ty)
    except NoDenial:

        def stop(state: GuestState, *_args: Any) -> Any:
            raise Stop("sandbox.trap", f"{name} is not available to plugins")

        return stop

    def refuse(state: GuestState, *_args: Any) -> Any:
        return refused

    return refuse

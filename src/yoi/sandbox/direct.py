"""The direct binding: the C API of one wasmtime version through ctypes, buffers reused.

wasmtime reads arguments by copying them, so a string argument may point into a Python bytes
object; results belong to the caller and are freed with `wasmtime_component_val_delete`. Source:
wasmtime 50, `wasmtime/component/{func,linker,val}.h`.
"""

import ctypes
from collections.abc import Callable
from ctypes import (
    addressof,
    byref,
    c_char_p,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
    string_at,
)
from importlib.metadata import version
from typing import Any

from wasmtime import Store, StoreContext, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import Func, LinkerInstance, ResourceHost

from yoi.sandbox.binding import (
    AnswerTooLarge,
    CallFailed,
    Datetime,
    Handler,
    HostResource,
    StringCall,
    run_handler,
    too_long,
)
from yoi.sandbox.state import GuestState, current

Lower = Callable[[int, int, Any], None]
"""`lower(context, address, value)` writes a handler's answer for wasmtime to take."""

_VERSION = "50."
_STRING = 12
_LIST = 13
_RESOURCE = 21
_U8 = 2
_U64 = 8
_LIST_ITEMS = 1024
"""Elements of all list arguments of one import that are looked at, but for bytes."""
_BYTES = 64 * 1024
"""Bytes of all byte lists of one import that are copied."""


class _StringVal(ctypes.Structure):
    _fields_ = [
        ("kind", c_uint8),
        ("size", c_size_t),
        ("data", c_char_p),
        ("rest", c_uint64),
    ]

    # The class attributes are descriptors that know their offset.
    size: Any
    data: Any
    kind: int


class _RawVal(ctypes.Structure):
    _fields_ = [("kind", c_uint8), ("word", c_uint64), ("data", c_void_p), ("rest", c_uint64)]


_SIZE_AT: int = _StringVal.size.offset
_DATA_AT: int = _StringVal.data.offset
_ENTRY: int = ctypes.sizeof(ffi.wasmtime_component_valrecord_entry_t)
_FIELD_AT: int = _ENTRY - ctypes.sizeof(ffi.wasmtime_component_val_t) + _SIZE_AT
"""Where the number stands in a record's entry: behind the name and the kind."""
_VAL = ctypes.sizeof(ffi.wasmtime_component_val_t)
_INTEGERS: dict[int, Callable[[int], Any]] = {
    0: lambda word: bool(word & 0xFF),
    _U8: lambda word: word & 0xFF,
    4: lambda word: word & 0xFFFF,
    6: lambda word: word & 0xFFFFFFFF,
    _U64: lambda word: word,
}
"""The unsigned kinds that handlers read, by wasmtime_component_valkind_t."""


def fits() -> bool:
    """Return whether the installed wasmtime has the version and layout this module knows."""
    try:
        val: Any = ffi.wasmtime_component_val_t
        union: Any = ffi.wasmtime_component_valunion_t
        name: Any = ffi.wasm_name_t
        return (
            version("wasmtime").startswith(_VERSION)
            and ctypes.sizeof(_StringVal) == _VAL == ctypes.sizeof(_RawVal)
            and val.of.offset == _SIZE_AT
            and name.size.offset == 0
            and name.data.offset == _DATA_AT - _SIZE_AT
            and union.string.offset == 0
            and ffi.WASMTIME_COMPONENT_STRING.value == _STRING
            and ffi.WASMTIME_COMPONENT_LIST.value == _LIST
            and ffi.WASMTIME_COMPONENT_RESOURCE.value == _RESOURCE
            and ffi.WASMTIME_COMPONENT_U8.value == _U8
            and ffi.WASMTIME_COMPONENT_U64.value == _U64
            and hasattr(ffi.dll, "wasmtime_store_epoch_deadline_callback")
        )
    except AttributeError:
        return False


def _function(name: str, restype: Any, *argtypes: Any) -> Any:
    # Item access makes a fresh function object: wasmtime-py's own prototypes stay as they are.
    function = ffi.dll[name]
    function.restype = restype
    function.argtypes = list(argtypes)
    return function


_call = _function(
    "wasmtime_component_func_call",
    c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t,
)  # fmt: skip
_val_clone = _function("wasmtime_component_val_clone", None, c_void_p, c_void_p)
_val_delete = _function("wasmtime_component_val_delete", None, c_void_p)
_byte_vec_new = _function("wasm_byte_vec_new", None, c_void_p, c_size_t, c_char_p)
_list_new = _function("wasmtime_component_vallist_new_uninit", None, c_void_p, c_size_t)
_to_host = _function(
    "wasmtime_component_resource_any_to_host", c_void_p, c_void_p, c_void_p, c_void_p
)
_host_rep = _function("wasmtime_component_resource_host_rep", ctypes.c_uint32, c_void_p)
_host_delete = _function("wasmtime_component_resource_host_delete", None, c_void_p)
_error_delete = _function("wasmtime_error_delete", None, c_void_p)
_error_new = _function("wasmtime_error_new", c_void_p, c_char_p)
_add_func = _function(
    "wasmtime_component_linker_instance_add_func",
    c_void_p, c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
# PYFUNCTYPE keeps the interpreter lock: releasing it costs more than the call.
_set_deadline = ctypes.PYFUNCTYPE(None, c_void_p, c_uint64)(
    ("wasmtime_context_set_epoch_deadline", ffi.dll)
)
_Callback = ctypes.CFUNCTYPE(
    c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)


_Extend = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, ctypes.POINTER(c_uint64), c_void_p)
"""The last argument, how to go on, is left at its first case: at once."""
_on_deadline = _function(
    "wasmtime_store_epoch_deadline_callback", None, c_void_p, _Extend, c_void_p, c_void_p
)


class DirectBinding:
    """See `yoi.sandbox.binding.Binding`."""

    def string_call(
        self, store: Store, func: Func, params: int, max_answer_bytes: int
    ) -> StringCall:
        """See `Binding.string_call`."""
        return _DirectCall(store, func, params, max_answer_bytes)

    def deadline_setter(self, store: Store) -> Callable[[int], None]:
        """See `Binding.deadline_setter`."""
        context = ctypes.cast(store._context(), c_void_p).value

        def set_ticks(ticks: int) -> None:
            _set_deadline(context, ticks)

        return set_ticks

    def on_deadline(self, store: Store, extend: Callable[[], int]) -> Any:
        """See `Binding.on_deadline`."""

        def called(_context: int, _data: int, delta: Any, _kind: int) -> int:
            try:
                ticks = extend()
            except BaseException:
                ticks = 0
            if ticks <= 0:
                return _error_new(b"wasm trap: interrupt") or 0
            delta[0] = ticks
            return 0

        callback = _Extend(called)
        _on_deadline(store.ptr(), callback, None, None)
        return callback

    def add_import(self, linker: LinkerInstance, name: str, result: Any, handler: Handler) -> Any:
        """See `Binding.add_import`."""
        encoded = name.encode()
        callback = _callback(handler, _lowering(result))
        error = _add_func(
            linker.ptr(), encoded, len(encoded), ctypes.cast(callback, c_void_p), None, None
        )
        if error:
            raise WasmtimeError(_take_error(error))
        return callback


class _DirectCall:
    """One export, with its buffers. Used under the guest's lock only."""

    def __init__(self, store: Store, func: Func, params: int, max_answer_bytes: int) -> None:
        self._keep = (store, func._func)
        self._func = byref(func._func)
        self._context = ctypes.cast(store._context(), c_void_p).value
        self._args = (_StringVal * max(1, params))()
        self._slots = [self._args[index] for index in range(params)]
        for slot in self._slots:
            slot.kind = _STRING
        self._args_ref = byref(self._args)
        self._params = params
        self._result = _RawVal()
        self._result_ref = byref(self._result)
        self._max = max_answer_bytes

    def __call__(self, *args: str) -> str:
        if len(args) != self._params:
            raise TypeError(f"{self._params} arguments expected")
        for slot, text in zip(self._slots, args, strict=True):
            raw = text.encode()
            slot.size = len(raw)
            slot.data = raw
        result = self._result
        error = _call(self._func, self._context, self._args_ref, self._params, self._result_ref, 1)
        for slot in self._slots:
            slot.size = 0
            slot.data = b""
        if error:
            raise CallFailed(_take_error(error))
        try:
            if result.kind != _STRING:
                raise CallFailed("the export did not return a string")
            size = result.word
            if size > self._max:
                raise AnswerTooLarge(size)
            return string_at(result.data, size).decode() if size else ""
        finally:
            _val_delete(self._result_ref)


def _take_error(pointer: int) -> str:
    """Return the message of a wasmtime error and free it."""
    message = ffi.wasm_byte_vec_t()
    ffi.wasmtime_error_message(
        ctypes.cast(pointer, ctypes.POINTER(ffi.wasmtime_error_t)), byref(message)
    )
    try:
        return string_at(message.data, message.size).decode("utf-8", "replace")
    finally:
        ffi.wasm_byte_vec_delete(byref(message))
        _error_delete(pointer)


def _callback(handler: Handler, lower: Lower | None) -> Any:
    """Return the C callback that runs `handler`. No exception may leave it."""

    def call(
        _data: int, context: int, _type: int, args: int, count: int, results: int, _n: int
    ) -> int:
        state = None
        try:
            state = current.state
            values = _lifted(state, context, args, count) if count else ()
            value = run_handler(state, handler, values)
            if lower is not None:
                lower(context, results, value)
            return 0
        except BaseException as exc:
            if state is not None and state.failure is None:
                state.failure = exc
            return _error_new(b"host function failed") or 0

    return _Callback(call)


def _lifted(state: GuestState | None, context: int, args: int, count: int) -> list[Any]:
    """Return the `count` arguments of an import that stand at `args`."""
    lifter = _Lifter(context, 0 if state is None else state.limits.host_call_bytes)
    values = [lifter.lift(args + index * _VAL) for index in range(count)]
    if lifter.listed and state is not None:
        state.check_deadline()  # wasmtime has taken its time with them
    return values


class Bytes(bytes):
    """The first bytes of a byte list; `full_size` is what the guest passed."""

    full_size: int


class _Lifter:
    """Takes the arguments of one import over, within one bound for all of them.

    A guest may pass as much as its memory holds, and this thread holds the interpreter lock: long
    texts are not copied, and long lists are not walked, whatever they are nested in.
    """

    __slots__ = ("_bytes", "_context", "_items", "_most", "_text", "listed")

    def __init__(self, context: int, most: int) -> None:
        self.listed = False
        self._context = context
        self._most = most
        self._text = most
        self._items = _LIST_ITEMS
        self._bytes = _BYTES

    def lift(self, address: int) -> Any:
        """Return the argument at `address` as a handler sees it; too much text raises Stop."""
        raw = _RawVal.from_address(address)
        kind = raw.kind
        if kind == _STRING:
            self._text -= raw.word
            if self._text < 0:
                raise too_long(self._most - self._text, self._most)
            return string_at(raw.data, raw.word).decode() if raw.word else ""
        if kind == _RESOURCE:
            return _consume(self._context, raw.word)
        if kind == _LIST:
            self.listed = True
            return self._list(raw.data, raw.word)
        integer = _INTEGERS.get(kind)
        return None if integer is None else integer(raw.word)

    def _list(self, data: int, size: int) -> Any:
        if not size:
            return []
        if _RawVal.from_address(data).kind == _U8:
            kept = min(size, self._bytes)
            self._bytes -= kept
            value = Bytes(string_at(data, kept * _VAL)[_SIZE_AT::_VAL])
            value.full_size = size
            return value
        found: list[Any] = []
        for index in range(size):
            if self._items <= 0:
                break
            self._items -= 1
            found.append(self.lift(data + index * _VAL))
        return found


def _consume(context: int, resource: int) -> int:
    host = c_void_p()
    error = _to_host(context, resource, byref(host))
    if error:
        raise WasmtimeError(_take_error(error))
    rep: int = _host_rep(host)
    _host_delete(host)
    return rep


def _lowering(result: Any) -> Lower | None:
    """Return the function that writes a handler's answer of the type `result`, or None."""
    if result is None:
        return None
    name = type(result).__name__
    if name == "U64":
        return _lower_u64
    if name == "String":
        return _lower_string
    if name == "ListType" and result._is_bytes():
        return _lower_bytes
    if name == "OwnType":
        return _lower_own
    if name == "RecordType":
        kinds = [(field, type(ty).__name__) for field, ty in result.fields]
        if kinds == [("seconds", "U64"), ("nanoseconds", "U32")]:
            return _lower_datetime(result)
    return _lower_any(result)


def _lower_u64(context: int, address: int, value: int) -> None:
    raw = _RawVal.from_address(address)
    raw.kind = _U64
    raw.word = value


def _lower_string(context: int, address: int, value: str) -> None:
    encoded = value.encode()
    raw = _RawVal.from_address(address)
    _byte_vec_new(addressof(raw) + _SIZE_AT, len(encoded), encoded)
    raw.kind = _STRING


_U8_KIND = bytes([_U8])


def _lower_bytes(context: int, address: int, value: bytes) -> None:
    raw = _RawVal.from_address(address)
    _list_new(addressof(raw) + _SIZE_AT, len(value))
    if value:
        values = bytearray(len(value) * _VAL)
        values[::_VAL] = _U8_KIND * len(value)
        values[_SIZE_AT::_VAL] = value
        ctypes.memmove(raw.data, bytes(values), len(values))
    raw.kind = _LIST


def _store(context: int) -> Any:
    return StoreContext(ctypes.cast(context, ctypes.POINTER(ffi.wasmtime_context_t)))


def _pointer(address: int) -> Any:
    return ctypes.cast(address, ctypes.POINTER(ffi.wasmtime_component_val_t))


def _lower_own(context: int, address: int, value: HostResource) -> None:
    target = _pointer(address).contents
    resource = ResourceHost.own(value.rep, value.type_id)
    handle: Any = resource.to_any(_store(context))
    target.of.resource = handle._consume()
    target.kind = ffi.WASMTIME_COMPONENT_RESOURCE


def _lower_datetime(result: Any) -> Lower:
    """Return a quick way to write a wall-clock time: plugins ask for it in every handler.

    wasmtime copies a record made once; only its two numbers are written here.
    """
    template = ffi.wasmtime_component_val_t()
    result.convert_to_c(None, Datetime(0, 0), ctypes.pointer(template))

    def lower(context: int, address: int, value: Datetime) -> None:
        _val_clone(byref(template), address)
        entries = _RawVal.from_address(address).data
        c_uint64.from_address(entries + _FIELD_AT).value = value.seconds
        c_uint32.from_address(entries + _ENTRY + _FIELD_AT).value = value.nanoseconds

    return lower


def _lower_any(result: Any) -> Lower:
    def lower(context: int, address: int, value: Any) -> None:
        result.convert_to_c(_store(context), value, _pointer(address))

    return lower

"""Link a component: every import defined, nothing else reachable."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wasmtime import Engine, WasmtimeError
from wasmtime.component import (
    Component,
    ComponentInstanceType,
    FuncType,
    Linker,
    ListType,
    OptionType,
    RecordType,
    ResourceType,
    ResultType,
    String,
    TupleType,
    VariantType,
)

from yoi.errors import SandboxError
from yoi.limits import Limits
from yoi.sandbox import wasi
from yoi.sandbox.binding import Binding
from yoi.sandbox.state import GuestState, current


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Linked:
    """A compiled component, ready to be instantiated any number of times.

    Guests hold on to it: `imports` are C callbacks of which wasmtime has only the addresses.
    """

    component: Component
    linker: Linker
    imports: list[Any]


def link(
    engine: Engine,
    component: Component,
    binding: Binding,
    limits: Limits,
    host: Callable[[str], Callable[..., Any] | None],
) -> Linked:
    """Return `component` with a linker that satisfies it.

    `wasi:` imports are granted or refused by `yoi.sandbox.wasi`; for any other function `host`
    returns its handler by `interface@version#function`, or None. Raises SandboxError
    (`sandbox.world`) for an import that is not part of the world.
    """
    linked = Linked(component, Linker(engine), [])
    types = wasi.Types()
    granted = wasi.grants(types)
    left = limits.component_imports
    try:
        with linked.linker.root() as root:
            for interface, extern in component.type.imports(engine).items():
                instance = extern.ty
                if not isinstance(instance, ComponentInstanceType):
                    raise _foreign(interface)
                items = instance.exports(engine)
                left -= len(items)
                if left < 0:
                    raise SandboxError(
                        "sandbox.world", f"more than {limits.component_imports} imported items"
                    )
                base = interface.partition("@")[0]
                is_wasi = interface.startswith("wasi:")
                with root.add_instance(interface) as target:
                    for name, item in items.items():
                        ty = item.ty
                        if isinstance(ty, ResourceType):
                            if not is_wasi:
                                raise _foreign(f"{interface}#{name}")
                            target.add_resource(
                                name, ResourceType.host(types.id_of(name)), _dropped
                            )
                        elif isinstance(ty, FuncType):
                            result = ty.result
                            path = f"{base}#{name}"
                            if is_wasi and path not in wasi.NESTED and _takes_nested_lists(ty):
                                # wasmtime takes the argument over whole before the host is asked:
                                # for a million lists that is a third of a second.
                                raise _foreign(f"{interface}#{name}")
                            if is_wasi:
                                handler = wasi.handler_for(path, result, granted)
                            else:
                                found = host(f"{interface}#{name}")
                                if found is None or not isinstance(result, String):
                                    raise _foreign(f"{interface}#{name}")
                                handler = found
                            linked.imports.append(binding.add_import(target, name, result, handler))
    except WasmtimeError as exc:
        raise SandboxError("sandbox.world", f"the imports cannot be linked: {exc}") from None
    return linked


_FLAT = frozenset(
    {"Bool", "S8", "U8", "S16", "U16", "S32", "U32", "S64", "U64", "F32", "F64", "Char"}
    | {"EnumType", "FlagsType", "OwnType", "BorrowType"}
)


def _takes_nested_lists(ty: FuncType) -> bool:
    """Return whether an argument may hold a list whose elements are allocated one by one."""
    return any(_nested(param) for _, param in ty.params)


def _nested(ty: Any) -> bool:
    if isinstance(ty, ListType):
        return type(ty.element).__name__ not in _FLAT
    if isinstance(ty, RecordType):
        return any(_nested(field) for _, field in ty.fields)
    if isinstance(ty, TupleType):
        return any(_nested(element) for element in ty.elements)
    if isinstance(ty, VariantType):
        return any(case is not None and _nested(case) for _, case in ty.cases)
    if isinstance(ty, OptionType):
        return _nested(ty.payload)
    if isinstance(ty, ResultType):
        return any(case is not None and _nested(case) for case in (ty.ok, ty.err))
    return False


def _foreign(name: str) -> SandboxError:
    return SandboxError(
        "sandbox.world",
        f"the component imports {name}, which no Yoi host offers",
        hint="build it for the world yoi:plugin/instance@1.0.0",
    )


def _dropped(_store: Any, rep: int) -> None:
    state: GuestState | None = current.state
    if state is not None:
        state.drop_handle(rep)

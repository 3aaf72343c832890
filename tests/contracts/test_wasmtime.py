"""What `yoi.sandbox` relies on in wasmtime-py that is private to it.

pyproject.toml bounds wasmtime to one major version, and `direct.fits()` falls back to the public
classes for any other; these say what must be looked at when the bound is raised.
"""

import ctypes

import pytest
import wasmtime
from wasmtime import Config, Engine, Store, _ffi
from wasmtime.component import Component, Func, Linker, ListType, ResourceAny, VariantType

from yoi.sandbox import direct

FUNCTION = """
(component
  (core module $m (func (export "f") (param i32) (result i32) local.get 0))
  (core instance $i (instantiate $m))
  (func (export "f") (param "a" u32) (result u32) (canon lift (core func $i "f"))))
"""


@pytest.fixture
def store() -> Store:
    return Store(Engine(Config()))


def test_the_direct_binding_fits_this_version():
    """Otherwise guests run through the plain binding, at twice the cost, without a word."""
    assert direct.fits()


def test_a_store_and_a_function_give_the_pointers_that_the_c_api_takes(store):
    assert ctypes.cast(store._context(), ctypes.c_void_p).value
    linker = Linker(store.engine)
    instance = linker.instantiate(store, Component(store.engine, FUNCTION))
    function = instance.get_func(store, instance.get_export_index(store, "f"))
    assert isinstance(function, Func)
    assert ctypes.sizeof(function._func) > 0
    assert ctypes.byref(function._func)


def test_the_library_is_called_by_name_with_prototypes_of_ours():
    """Item access makes a fresh function object, so wasmtime-py's own stay as they are."""
    name = "wasmtime_component_val_delete"
    ours = _ffi.dll[name]
    assert ours is not _ffi.dll[name]
    for needed in (
        "wasmtime_component_func_call",
        "wasmtime_component_linker_instance_add_func",
        "wasmtime_component_resource_any_to_host",
        "wasmtime_component_vallist_new_uninit",
        "wasmtime_context_set_epoch_deadline",
    ):
        assert _ffi.dll[needed]


def test_the_stack_for_asynchronous_calls_can_be_set():
    """wasmtime ends the process unless it is larger than the guest's, though it is not used."""
    config = Config()
    assert wasmtime._ffi.wasmtime_config_async_stack_size_set
    wasmtime._ffi.wasmtime_config_async_stack_size_set(config.ptr(), 8 << 20)
    assert Engine(config)


def test_types_of_a_component_say_how_their_values_are_passed():
    """A denial of WASI is made from them by reflection."""
    assert callable(ListType._is_bytes)
    assert callable(VariantType._tagged)
    assert callable(ResourceAny._consume)

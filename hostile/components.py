"""Generated components of the public world that break its rules."""

from unittest import mock

from tests.sandbox import wat
from wasmtime import wat2wasm

_GROW = """(local.set $r (i32.and (i32.add (global.get $p) (i32.const 7)) (i32.const -8)))"""


def _text(**parts: object) -> str:
    with mock.patch.object(wat, "wat2wasm", lambda text: text.encode()):
        return wat.component(**parts).decode()  # type: ignore[arg-type]


def _realloc(answer: str) -> bytes:
    """Return a component whose allocator answers `answer` whatever it is asked for."""
    text = _text()
    begin = text.index('(func (export "realloc")')
    end = text.index("(core instance $libc")
    made = f'(func (export "realloc") (param i32 i32 i32 i32) (result i32) {answer}))\n'
    return bytes(wat2wasm(text[:begin] + made + text[end:]))


def _pair(pointer: str, length: str) -> bytes:
    return wat.component(handle_ingress=f"(call $pair (i32.const {pointer}) (i32.const {length}))")


def _importing(interface: str, items: str) -> bytes:
    return wat.component(imports=f'(import "{interface}" (instance {items}))')


def _deep(levels: int) -> str:
    return "(tuple u32 " * levels + "u32" + ")" * levels


COMPONENTS = {
    # lengths and pointers of answers
    "length_over_memory": _pair("0", "0x7fffffff"),
    "length_all_ones": _pair("16", "0xffffffff"),
    "pointer_last_byte": _pair("131071", "2"),
    "pointer_outside": _pair("0x7ffffff0", "16"),
    "pair_outside": wat.component(handle_ingress="(i32.const 0x7ffffff0)"),
    "pair_unaligned": wat.component(handle_ingress="(i32.const 17)"),
    "pair_negative": wat.component(handle_ingress="(i32.const -8)"),
    "text_not_utf8": wat.component(
        functions="(func $bad (i32.store8 (i32.const 64) (i32.const 255)))",
        handle_ingress="(call $bad) (call $pair (i32.const 64) (i32.const 1))",
    ),
    "text_zero_bytes": _pair("4096", "0"),
    # allocators
    "realloc_null": _realloc("(i32.const 0)"),
    "realloc_unaligned": _realloc("(i32.const 1)"),
    "realloc_outside": _realloc("(i32.const 0x7ffffff0)"),
    "realloc_negative": _realloc("(i32.const -1)"),
    "realloc_traps": _realloc("unreachable"),
    "realloc_spins": _realloc("(loop $l (br $l)) unreachable"),
    "realloc_code": _realloc("(i32.const 4096)"),
    # ends
    "end_spin": wat.component(handle_ingress=wat.SPIN),
    "end_trap": wat.component(handle_ingress=wat.TRAP),
    "end_recursion": wat.component(handle_ingress=wat.RECURSE),
    "end_spin_in_start": wat.component(start=wat.SPIN),
    "end_trap_in_status": wat.component(status=wat.TRAP),
    "end_memory": wat.component(
        handle_ingress="(loop $l (drop (memory.grow (i32.const 64))) (br $l)) unreachable"
    ),
    "end_memory_at_start": wat.component(pages=2000),
    "end_divide": wat.component(handle_ingress="(i32.div_u (i32.const 1) (i32.const 0))"),
    # answers
    "answer_not_json": wat.component(texts=("{}", "nope"), handle_ingress="(call $text1)"),
    "answer_list": wat.component(texts=("{}", "[]"), handle_ingress="(call $text1)"),
    "answer_deep": wat.component(
        texts=("{}", "[" * 30000 + "]" * 30000), handle_ingress="(call $text1)"
    ),
    "answer_dense": wat.component(
        texts=("{}", '{"output_commands":[' + "[]," * 60000 + "[]]}"),
        pages=8,
        handle_ingress="(call $text1)",
    ),
    "answer_commands": wat.component(
        texts=("{}", '{"output_commands":[' + "{}," * 999 + "{}]}"), handle_ingress="(call $text1)"
    ),
    "answer_error": wat.component(
        texts=("{}", '{"error":{"code":"\\u001b[2J","message":[[[[]]]]}}'),
        handle_ingress="(call $text1)",
    ),
    "answer_duplicate_keys": wat.component(
        texts=("{}", '{"output_commands":[],"output_commands":7}'), handle_ingress="(call $text1)"
    ),
    "answer_start_list": wat.component(texts=("[]",)),
    "answer_start_failed": wat.component(texts=('{"state":"failed","data":{"a":[1]}}',)),
    # types and imports
    "type_deep": _importing(
        "wasi:x/y@0.2.0", f'(export "f" (func (param "a" {_deep(60)}) (result bool)))'
    ),
    "type_wide": _importing(
        "wasi:x/y@0.2.0",
        '(export "f" (func (param "a" (tuple ' + "u64 " * 900 + ")) (result bool)))",
    ),
    "type_nested_lists": _importing(
        "wasi:x/y@0.2.0", '(export "f" (func (param "a" (list (list (list u32)))) (result bool)))'
    ),
    "type_flags": _importing(
        "wasi:x/y@0.2.0",
        "(type $f (flags " + " ".join(f'"f{n}"' for n in range(32)) + ")) "
        '(export "t" (type $t (eq $f))) (export "f" (func (param "a" $t) (result bool)))',
    ),
    "import_many": _importing(
        "wasi:x/y@0.2.0",
        " ".join(f'(export "f{n}" (func (result bool)))' for n in range(1500)),
    ),
    "import_unknown": _importing("evil:host/root@1.0.0", '(export "f" (func (result string)))'),
    "import_host_other": _importing("yoi:host/root@1.0.0", '(export "f" (func (result string)))'),
    "import_resource": _importing("yoi:host/x@1.0.0", '(export "r" (type (sub resource)))'),
    # not components of the world
    "shape_empty": bytes(wat2wasm("(component)")),
    "shape_cut": wat.component()[:-40],
    "shape_garbage": wat.component()[:8] + bytes(range(256)) * 64,
    "shape_many_functions": bytes(
        wat2wasm("(component (core module " + "(func (result i32) (i32.const 1))" * 20000 + "))")
    ),
    "shape_many_modules": bytes(wat2wasm("(component " + "(core module)" * 3000 + ")")),
    "shape_nested": bytes(wat2wasm("(component " * 90 + ")" * 90)),
}
"""By name."""

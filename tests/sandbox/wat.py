"""Small components of the public world, written in WAT: each export's body is the test's to choose.

A body is WAT that leaves the address of a (pointer, length) pair on the stack. Memory: the pair at
16, `texts` from 4096 on, arguments (by realloc) behind them.
"""

from wasmtime import wat2wasm

ECHO_LAST = "(call $pair (local.get $lp) (local.get $ll))"
"""Return the last argument."""
SPIN = "(loop $l (br $l)) unreachable"
TRAP = "unreachable"
RECURSE = "(call $recurse) unreachable"


def component(
    *,
    texts: tuple[str, ...] = ("{}",),
    imports: str = "",
    lowered: str = "",
    core_imports: str = "",
    instances: str = "",
    functions: str = "",
    pages: int = 2,
    start: str = "(call $text0)",
    handle_tool: str = ECHO_LAST,
    handle_ingress: str = "(call $text0)",
    status: str = "(call $text0)",
    stop: str = "(call $text0)",
) -> bytes:
    """Return the component as bytes. `(call $textN)` answers the Nth of `texts`."""
    at, data, getters = 4096, [], []
    for number, text in enumerate(texts):
        raw = text.encode()
        escaped = "".join(f"\\{byte:02x}" for byte in raw)
        data.append(f'(data (i32.const {at}) "{escaped}")')
        getters.append(
            f"(func $text{number} (result i32) "
            f"(call $pair (i32.const {at}) (i32.const {len(raw)})))"
        )
        at += len(raw)
    heap = (at + 15) // 16 * 16
    two = "(param $lp0 i32) (param $ll0 i32) (param $lp i32) (param $ll i32) (result i32)"
    one = "(param $lp i32) (param $ll i32) (result i32)"
    lift = '(memory $mem) (realloc $realloc) (post-return (core func $m "post"))'
    return bytes(
        wat2wasm(f"""(component
  {imports}
  (core module $libc
    (memory (export "memory") {pages})
    (global $p (mut i32) (i32.const {heap}))
    (func (export "reset") (global.set $p (i32.const {heap})))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $r i32)
      (local.set $r (i32.and (i32.add (global.get $p) (i32.const 7)) (i32.const -8)))
      (global.set $p (i32.add (local.get $r) (local.get 3)))
      (block $done (loop $more
        (br_if $done (i32.le_u (global.get $p) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $more)))
      (local.get $r)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))
  {lowered}
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "reset" (func $reset))
    {core_imports}
    {"".join(data)}
    (func $pair (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16))
    {"".join(getters)}
    (func $recurse (call $recurse))
    {functions}
    (func (export "start") {one} {start})
    (func (export "handle-tool") {two} {handle_tool})
    (func (export "handle-ingress") {two} {handle_ingress})
    (func (export "status") (result i32) {status})
    (func (export "stop") (result i32) {stop})
    (func (export "post") (param i32) (call $reset)))
  (core instance $m (instantiate $m (with "libc" (instance $libc)) {instances}))
  (func (export "start") (param "config-json" string) (result string)
    (canon lift (core func $m "start") {lift}))
  (func (export "handle-tool") (param "name" string) (param "input-json" string) (result string)
    (canon lift (core func $m "handle-tool") {lift}))
  (func (export "handle-ingress") (param "name" string) (param "event-json" string) (result string)
    (canon lift (core func $m "handle-ingress") {lift}))
  (func (export "status") (result string) (canon lift (core func $m "status") {lift}))
  (func (export "stop") (result string) (canon lift (core func $m "stop") {lift}))
)""")
    )


def with_log(body: str) -> dict[str, str]:
    """Return the arguments of `component` that import yoi:host/log and run `body` as the tool.

    `(call $log LEVEL-PTR LEVEL-LEN PTR LEN 16)` logs; the answer's pair is at 16.
    """
    return {
        "imports": (
            '(import "yoi:host/log@1.0.0" (instance $hostlog (export "log" '
            '(func (param "level" string) (param "message" string) (result string)))))'
        ),
        "lowered": '(core func $log_l (canon lower (func $hostlog "log") '
        "(memory $mem) (realloc $realloc)))",
        "core_imports": '(import "host" "log" (func $log (param i32 i32 i32 i32 i32)))',
        "instances": '(with "host" (instance (export "log" (func $log_l))))',
        "handle_tool": body,
    }


def with_bytes_import(body: str) -> dict[str, str]:
    """Import a WASI function that takes `list<u8>` and is refused; `(call $write PTR LEN 16)`."""
    return {
        "imports": (
            '(import "wasi:http/probe@0.2.0" (instance $probe (export "write" '
            '(func (param "data" (list u8)) (result bool)))))'
        ),
        "lowered": '(core func $write_l (canon lower (func $probe "write") (memory $mem)))',
        "core_imports": '(import "probe" "write" (func $write (param i32 i32) (result i32)))',
        "instances": '(with "probe" (instance (export "write" (func $write_l))))',
        "handle_tool": body,
    }

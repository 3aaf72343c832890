"""`json.loads` and `json.dumps` as plugins meet them: quicker, and safe with deep nesting.

Quicker: inside the sandbox the standard functions cost 9 and 4 µs for a chat message, the parser
itself 7 and 2. Results and errors are the same; what is out of the ordinary is left to them.

Safe: the parser recurses on the stack of the WebAssembly engine, which CPython cannot measure, and
a frame of a thousand brackets would overflow it and end the instance. Nobody on the other end of
a socket may do that, so deeper nesting than `MAX_DEPTH` is a RecursionError before it is parsed.
Measured: the parser survives 990 levels for each 512 KiB of stack, writing 1,200, repr 2,000. So
what it returns can be written, compared and dropped, also far down in the plugin's own calls.
"""

import json
import re
from json.encoder import c_make_encoder, encode_basestring_ascii
from typing import Any

MAX_DEPTH = 400

_loads = json.loads
_dumps = json.dumps
_decode = json.JSONDecoder.decode
_scan = json.JSONDecoder().scan_once
_open: dict[int, Any] = {}
"""The containers being encoded: how the encoder notices a circular reference."""
_encode = c_make_encoder(
    _open, json.JSONEncoder().default, encode_basestring_ascii, None, ": ", ", ", False, False, True
)
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = re.compile(r"[\[{]+|[\]}]+")


def loads(s: Any, **options: Any) -> Any:
    """See json.loads."""
    if s.__class__ is str and not options:
        if len(s) > MAX_DEPTH:
            check_depth(s)
        try:
            value, end = _scan(s, 0)
        except StopIteration:  # white space in front, or not JSON
            return _loads(s)
        if end == len(s):
            return value
    return _loads(s, **options)


def dumps(obj: Any, **options: Any) -> str:
    """See json.dumps."""
    if options or _open or (obj.__class__ is not dict and obj.__class__ is not list):
        return _dumps(obj, **options)
    try:
        return "".join(_encode(obj, 0))
    except BaseException:
        _open.clear()
        raise


def decode(self: json.JSONDecoder, s: str, *rest: Any) -> Any:
    """See json.JSONDecoder.decode."""
    check_depth(s)
    return _decode(self, s, *rest)


def check_depth(s: str) -> None:
    """Raise RecursionError when the JSON text `s` nests deeper than `MAX_DEPTH`."""
    if s.count("[") + s.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for run in _BRACKETS.findall(_STRINGS.sub('""', s)):
        depth += len(run) if run[0] in "[{" else -len(run)
        if depth > MAX_DEPTH:
            raise RecursionError(f"JSON nested deeper than {MAX_DEPTH}")


def install() -> None:
    """Put them in the place of the originals."""
    for mine, original in ((loads, _loads), (dumps, _dumps)):
        mine.__doc__ = original.__doc__
        mine.__module__ = "json"
        setattr(json, mine.__name__, mine)
    json.JSONDecoder.decode = decode  # type: ignore[method-assign]

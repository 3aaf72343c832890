"""Generated Python plugins: bodies of a handler, module code, and forged answers."""

_BOMBS = {
    # Each codec that the guest has: small to write, large to read.
    "zlib": "import zlib\nzlib.decompress(zlib.decompress(zlib.compress(zlib.compress(bytes(1<<24)))) * 64)",
    "zlib_stream": "import zlib\nd = zlib.decompressobj()\nx = zlib.compress(bytes(1 << 25))\nout = [d.decompress(x)] * 9\nb''.join(out)",
    "gzip": "import gzip\nx = gzip.compress(bytes(1 << 24))\nself.kept = [gzip.decompress(x) for _ in range(9)]",
    "bz2": "import bz2\nself.kept = bz2.decompress(bz2.compress(bytes(1 << 24)) * 20)",
    "lzma": "import lzma\nself.kept = lzma.decompress(lzma.compress(bytes(1 << 24)) * 20)",
    "zip": "import io, zipfile\nf = io.BytesIO()\nz = zipfile.ZipFile(f, 'w', zipfile.ZIP_DEFLATED)\nz.writestr('a', bytes(1 << 24))\nself.kept = [z.read('a') for _ in range(9)]",
    "tar": "import io, tarfile\nt = tarfile.TarInfo('a')\nt.size = 1 << 40\ntarfile.open(fileobj=io.BytesIO(t.tobuf() + bytes(1024))).extractfile('a').read()",
    "base64": "import base64\nx = b'a' * (1 << 22)\nwhile True: x = base64.b64encode(x)",
    "base85": "import base64\nx = b'a' * (1 << 20)\nwhile True: x = base64.b85encode(x)",
    "hex": "x = b'a' * (1 << 20)\nwhile True: x = x.hex().encode()",
    "quopri": "import quopri\nx = bytes(1 << 20)\nwhile True: x = quopri.encodestring(x)",
    "utf7": "x = '\\u20ac' * (1 << 20)\nwhile True: x = x.encode('utf-7').decode('latin-1')",
    "unicode_escape": "x = '\\u20ac' * (1 << 18)\nwhile True: x = x.encode('unicode_escape').decode()",
    "punycode": "('\\u20ac' * (1 << 17)).encode('punycode')",
    "idna": "('\\u00e4.' * (1 << 16)).encode('idna')",
    "pickle": "import pickle\nx = pickle.loads(b'(' + b'I1\\n' * (1 << 22) + b'l.')\nself.kept = x",
    "pickle_code": "import pickle\npickle.loads(b'cos\\nsystem\\n(S\"id\"\\ntR.')\nreturn event.reply('ran')",
    "marshal": "import marshal\nmarshal.loads(b'[' + b'\\xff\\xff\\xff\\x7f')",
    "marshal_code": "import marshal\nmarshal.loads(b'c' + bytes(range(256)) * 64)",
    "xml_laughs": "import xml.etree.ElementTree as e\nx = '<!DOCTYPE x [<!ENTITY a0 \"ha\">' + ''.join(f'<!ENTITY a{i+1} \"' + f'&a{i};' * 20 + '\">' for i in range(9)) + ']><x>&a9;</x>'\ne.fromstring(x)",
    "xml_deep": "import xml.etree.ElementTree as e\ne.fromstring('<a>' * 200000 + '</a>' * 200000)",
    "html": "import html.parser\np = html.parser.HTMLParser()\np.feed('<!' * 500000)",
    "csv": "import csv\nlist(csv.reader(['\"' + 'a' * (1 << 25)]))",
    "email": "import email\nemail.message_from_string('Content-Type: multipart/mixed; boundary=a\\n\\n' + '--a\\n\\n' * 100000)",
    "toml": "import tomllib\ntomllib.loads('a.' * 50000 + 'a=1')",
    "ini": "import configparser\nc = configparser.ConfigParser()\nc.read_string('[a]\\n' + 'b=%(b)s%(b)s\\n')\nc['a']['b']",
    "decimal": "import decimal\ndecimal.Decimal('1e999999999999') ** decimal.Decimal('9999999999')",
    "fraction": "from fractions import Fraction\nFraction('1e99999999')",
    "format_width": "self.kept = f'{1:>999999999}'",
    "format_percent": "self.kept = '%999999999d' % 1",
    "int_text": "import sys\nsys.set_int_max_str_digits(0)\nstr(10 ** 10**6)",
    "shift": "self.kept = 1 << (1 << 33)",
    "power": "self.kept = 9 ** 9 ** 9",
    "normalize": "import unicodedata\nx = '\\ufdfa' * (1 << 21)\nself.kept = unicodedata.normalize('NFKC', x)",
    "casefold": "x = '\\u0130' * (1 << 24)\nself.kept = x.lower().casefold()",
    "translate": "x = 'a' * (1 << 16)\nwhile True: x = x.translate({97: 'aa' * 8})",
    "template": "import string\nx = '$a'\nwhile True: x = string.Template(x).substitute(a='$a$a')",
    "textwrap": "import textwrap\ntextwrap.wrap('a ' * (1 << 22), 1)",
    "difflib": "import difflib\nlist(difflib.ndiff(['a' * 3000] * 300, ['b' * 3000] * 300))",
    "glob_pattern": "import fnmatch\nfnmatch.fnmatch('a' * 60, '*a' * 30 + 'b')",
    "shlex": "import shlex\nshlex.split('\"' * 3000001)",
    "date": "import datetime\ndatetime.datetime.max + datetime.timedelta.max",
    "struct": "import struct\nself.kept = struct.pack('999999999x')",
    "hash_password": "import hashlib\nhashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)",
    "scrypt": "import hashlib\nhashlib.scrypt(b'a', salt=b'b', n=1 << 20, r=8, p=1, maxmem=1 << 31)",
    "secrets": "import secrets\nself.kept = secrets.token_bytes(1 << 31)",
}

_ENDLESS = {
    "generator": "def g():\n    while True: yield 1\nsum(g())",
    "generator_answer": "def g():\n    while True: yield Send('x')\nreturn list(g())",
    "generator_close": "def g():\n    while True:\n        try: yield 1\n        except GeneratorExit: pass\nx = g(); next(x); x.close()",
    "cycle": "import itertools\nlist(itertools.cycle([1]))",
    "product": "import itertools\nfor _ in itertools.product(range(99), repeat=99): pass",
    "permutations": "import itertools\nfor _ in itertools.permutations(range(30)): pass",
    "tee": "import itertools\na, b = itertools.tee(itertools.count())\nfor _ in a: pass",
    "iter_call": "list(iter(int, 1))",
    "async": "import types\n@types.coroutine\ndef f():\n    while True: yield\nasync def g(): await f()\nc = g()\nwhile True: c.send(None)",
    "contextmanager": "import contextlib\nwith contextlib.ExitStack() as s:\n    while True: s.callback(lambda: None)",
    "exception_chain": "e = None\nwhile True:\n    n = ValueError(); n.__cause__ = e; e = n",
    "traceback": "def f(n):\n    try: raise ValueError\n    except ValueError as e: return f(n + 1)\nf(0)",
    "descriptor": "class D:\n    def __get__(self, *a):\n        while True: pass\nclass E: x = D()\nE().x",
    "metaclass": "class M(type):\n    def __call__(cls, *a): return cls(*a)\nclass A(metaclass=M): pass\nA()",
    "sort_key": "class K:\n    def __lt__(self, o):\n        while True: pass\nsorted([K(), K()])",
    "hash_collisions": "class H:\n    def __init__(self, n): self.n = n\n    def __hash__(self): return 1\n    def __eq__(self, o): return self.n == o.n\nself.kept = {H(n): n for n in range(100000)}",
}

_LYING = {
    "repr": "class L(str):\n    def __repr__(self):\n        while True: pass\nraise ValueError(L('x'))",
    "str": "class L(Exception):\n    def __str__(self): return self\nraise L('x')",
    "name": "class M(type):\n    __name__ = property(lambda c: 1 / 0)\nclass L(Exception, metaclass=M): pass\nraise L('x')",
    "message_subclass": "class S(str):\n    def __getitem__(self, k): return S('x' * (1 << 24))\n    def encode(self, *a): return self\nclass E(Exception):\n    def __str__(self): return S('y')\nraise E",
    "hash": "class H(str):\n    def __hash__(self):\n        while True: pass\nreturn Status({H('a'): 1})",
    "len": "class L(list):\n    def __len__(self): return 1 << 40\nreturn L([event.reply('x')])",
    "iter": "class L(list):\n    def __iter__(self): return iter(int, 1)\nreturn L([event.reply('x')])",
    "bool": "class B:\n    def __bool__(self): raise SystemExit\nreturn B()",
    "eq": "class E(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\nreturn Send(E('x'), connection=E('no'))",
    "class_attr": "class R:\n    __class__ = property(lambda s: type(event.reply('x')))\n    text = 'x' * (1 << 23)\nreturn R()",
    "del": "class D:\n    def __del__(self):\n        while True: pass\nD()",
    "del_resurrects": "kept = []\nclass D:\n    def __del__(self): kept.append(self); kept.append(D())\nD()\nimport gc\nwhile True: gc.collect()",
    "weakref_callback": "import weakref\nclass A: pass\na = A()\nw = weakref.ref(a, lambda _: [0] * (1 << 30))\ndel a",
    "traceback_frames": "import types\nexec(compile('raise ValueError', '\\x1b[31m' * 5000, 'exec'))",
    "exec_filename": "exec(compile('def f():\\n raise ValueError\\nf()', '/etc/passwd', 'exec'))",
    "linecache": "import linecache\nlinecache.getline = lambda *a: 'x' * (1 << 26)\nraise ValueError",
    "excepthook": "import sys\nsys.excepthook = None\nsys.unraisablehook = None\nraise ValueError",
    "settrace": "import sys\nsys.settrace(lambda *a: [].append)\nsys.setprofile(lambda *a: 1 / 0)\nreturn event.reply('x')",
    "gc_callbacks": "import gc\ngc.callbacks.append(lambda *a: gc.collect())\ngc.collect()",
    "gc_disabled": "import gc\ngc.disable()\nwhile True:\n    x = []; x.append(x)",
    "recursion_limit": "import sys\nsys.setrecursionlimit(1)\nreturn event.reply('x')",
    "int_subclass": "class I(int):\n    def __index__(self): return -1\nreturn Status({'a': I(5)})",
}

_SLOW = {
    "list": "self.kept = self.kept or []\nself.kept.extend([None] * (1 << 21))",
    "dict": "self.kept = self.kept or {}\nself.kept.update({len(self.kept) + n: n for n in range(1 << 17)})",
    "text": "self.kept = (self.kept or 'x') * 64",
    "closures": "k = self.kept\nself.kept = lambda: (k, bytearray(1 << 23))",
    "state": "ctx.state.set(f'k{event.seq}', 'x' * 60000)",
    "state_keys": "for n in range(400): ctx.state.set(f'k{event.seq}.{n}', n)",
    "modules": "import sys, types\nfor n in range(20000): sys.modules[f'm{event.seq}.{n}'] = types.ModuleType('x')",
    "interned": "import sys\nfor n in range(200000): sys.intern(f'{event.seq}.{n}')",
    "timers": "return [TimerSet(f't{event.seq}.{n}', 10) for n in range(64)]",
    "status": "self.kept = (self.kept or []) + ['x' * 4000]\nreturn Status({'kept': self.kept})",
    "log": "print('x' * 1000 * event.seq * 20)",
}


def _numbered(bodies: dict[str, str], kind: str) -> dict[str, str]:
    return {f"{kind}_{name}": body for name, body in bodies.items()}


HANDLERS = {
    **_numbered(_BOMBS, "codec"),
    **_numbered(_ENDLESS, "endless"),
    **_numbered(_LYING, "lie"),
    **_numbered(_SLOW, "grow"),
}
"""Bodies of `on_text`, by name."""

_POISONED = (
    "json",
    "gc",
    "sys",
    "time",
    "traceback",
    "linecache",
    "yoi_pdk",
    "yoi_runner.failures",
)
MODULES = {
    **{
        f"poison_{name.replace('.', '_')}": f"import sys\nsys.modules[{name!r}] = None"
        for name in _POISONED
    },
    "poison_monotonic": "import yoi_runner.dispatch as d\nd.monotonic = lambda: float('nan')",
    "poison_failure": "import yoi_runner.dispatch as d\nd.failure = lambda e: {'type': 1}",
    "poison_scan": "import yoi_runner.dispatch as d\nd._scan = lambda *a: ((1, []), 0)",
    "poison_guarded": "import yoi_runner.session as s\ns._guarded = lambda w: '{\"ok\":'",
    "poison_collect": "import gc\ngc.collect = lambda *a: 1 / 0",
    "poison_import": "import builtins\nbuiltins.__import__ = lambda *a, **k: 1 / 0",
    "poison_meta_path": "import sys\nsys.meta_path.clear()\nsys.path_hooks.clear()",
    "poison_host_call": "import wit_world.imports.host as h\nh.call = lambda *a: 'x' * (1 << 24)",
    "load_wide": "\n".join(f"x{n} = {n}" for n in range(20000)),
    "load_deep_expression": "x = " + "(" * 150 + "1" + ")" * 150,
    "load_long_line": "x = [" + "1," * 60000 + "]",
    "load_recursion": "def f(): f()\nf()",
    "load_star": "import sys\nfrom sys import *\nsetrecursionlimit(10**9)\ndef f(): f()\nf()",
}
"""Code at a module's top, by name."""

_HEAD = '["c","websocket_send",{}]'
FORGED = {
    "forge_nan": '[[["c","websocket_send",{"json":NaN}]]]\n',
    "forge_infinity": '[[["c","websocket_send",{"json":-Infinity}]]]\n',
    "forge_huge_float": '[[["c","websocket_send",{"json":1e999}]]]\n',
    "forge_2_53": '[[["c","state_set",{"key":"k","value":9007199254740993}]]]\n',
    "forge_long_number": '[[["c","websocket_send",{"json":' + "9" * 4000 + "}]]]\n",
    "forge_minus_zero": "[-0]\n",
    "forge_fraction_length": "[1.0]\nx",
    "forge_length_2_63": "[9223372036854775808]\nx",
    "forge_duplicate_keys": '[[["c","websocket_send",{"text":"a","text":"b","json":1,"json":2}]]]\n',
    "forge_duplicate_outcomes": '[[["c","websocket_send",{"text":"a"}],["c","websocket_send",{"text":"a"}]]]\n',
    "forge_surrogate_json": '[[["c","websocket_send",{"json":"\\ud800"}]]]\n',
    "forge_surrogate_key": '[[["c","state_set",{"key":"\\udfff","value":1}]]]\n',
    "forge_nul": '[[["c\\u0000","websocket_send",{"text":"a"}]]]\n',
    "forge_event_id": '[[["EVENT","websocket_send",{"text":"a"}]]]\n',
    "forge_foreign_id": '[[["s.1:0","websocket_send",{"text":"a","connection":"other"}]]]\n',
    "forge_bidi_id": '[[["\\u202e\\u2066","websocket_send",{"text":"a"}]]]\n',
    "forge_kind_unknown": '[[["c","__class__",{}]]]\n',
    "forge_kind_long": '[[["c","' + "k" * 5000 + '",{}]]]\n',
    "forge_handle": '[[["c","websocket_open",{"connection":"gateway","handle":"handle:forged"}]]]\n',
    "forge_secret": '[[["c","websocket_send",{"json":{"a":null},"insert":[{"at":"/a","secret":"other"}]}]]]\n',
    "forge_pointer": '[[["c","websocket_send",{"json":[],"insert":[{"at":"/'
    + "0/" * 200
    + '","last":"x"}]}]]]\n',
    "forge_url": '[[["c","websocket_open",{"connection":"gateway","url":"ws://169.254.169.254/"}]]]\n',
    "forge_request": '[[["c","request",{"target":"no","method":"GET","path":"/../../"}]]]\n',
    "forge_notify": '[[["c","notify",{"worker":"no","text":"' + "x" * 100000 + '"}]]]\n',
    "forge_heartbeat": '[[["c","websocket_heartbeat",{"connection":"gateway","every_ms":1,"text":"x"}]]]\n',
    "forge_timer": '[[["c","timer_set",{"name":"t","after_ms":-1}]]]\n',
    "forge_status_deep": '[[["c","diagnostic_status_update",{"status":'
    + '{"a":' * 500
    + "1"
    + "}" * 500
    + "}]]]\n",
    "forge_head_deep": "[" * 100000 + "]" * 100000 + "\n",
    "forge_head_open": "[" * 2000000 + "\n",
    "forge_head_quotes": '["' + '\\"' * 1000000 + '"]\n',
    "forge_head_backslashes": '["' + "\\\\" * 1000000 + '"]\n',
    "forge_many_lists": '[[["c","websocket_send",{"json":[' + ",".join(["[]"] * 900000) + "]}]]]\n",
    "forge_many_keys": '[[["c","websocket_send",{'
    + ",".join(f'"{n}":1' for n in range(250000))
    + "}]]]\n",
    "forge_many_texts": '[[["c","websocket_send",{"json":[' + ",".join(['""'] * 900000) + "]}]]]\n",
    "forge_many_outcomes": "[" + ",".join(["null"] * 700000) + "]\n",
    "forge_just_below": '[[["c","websocket_send",{"json":[' + ",".join(["[]"] * 24000) + "]}]]]\n",
    "forge_refusals": "[["
    + ",".join(['[null,"websocket_send",{"text":"x","connection":"no"}]'] * 64)
    + "]]\n",
    "forge_sends": "[["
    + ",".join(['[null,"websocket_send",{"text":"' + "x" * 60000 + '"}]'] * 64)
    + "]]\n",
    "forge_completions": "[["
    + ",".join(f'[null,"tool_complete",{{"call":"tool.{n}","result":{n}}}]' for n in range(64))
    + "]]\n",
    "forge_completion_deep": '[[["c","tool_complete",{"call":"q","result":'
    + '{"a":' * 500
    + "1"
    + "}" * 500
    + "}]]]\n",
    "forge_questions": "[["
    + ",".join(
        f'["q{n}","websocket_send",{{"json":{{"id":null}},"reply_at":"/{n}/" ,'
        '"insert":[{"at":"/id","counter":"session"}]}]'
        for n in range(64)
    )
    + "]]\n",
    "forge_question_twice": "[["
    + '["q","websocket_send",{"json":{"id":null,"n":null},"reply_at":"/id",'
    '"insert":[{"at":"/id","counter":"session"},{"at":"/n","counter":"session"}]}]]]\n',
    "forge_newlines": "[null]\n\n\n\n",
    "forge_cr": "[null]\r\n",
    "forge_bom": "\ufeff[null]\n",
    "forge_terminal": '[{"type":"\\u001b[2J","message":"\\u009b31m","trace":"\\u001b]0;x\\u0007"}]\n',
    "forge_memory": '[{"type":"MemoryError","message":"","trace":""}]\n',
}
"""Answers of the runner, by name; EVENT stands for the event's id."""

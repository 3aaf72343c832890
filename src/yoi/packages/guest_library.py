"""What Python code finds in the sandbox, and what it uses instead of what is not there.

The lists are data; `tests/sandbox/test_guest_library.py` holds them against the runner itself.
"""

PYTHON = "3.14.0"
"""The sandbox's CPython: libraries are chosen for it."""


def _each(names: str, instead: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), instead)


IMPORTABLE = frozenset(
    _each(
        """
        __future__ abc annotationlib argparse array ast asyncio atexit base64 bdb binascii
        bisect builtins cProfile calendar cmath cmd code codecs codeop collections colorsys
        compileall compression concurrent configparser contextlib contextvars copy copyreg csv
        dataclasses datetime decimal difflib dis email encodings enum errno faulthandler filecmp
        fileinput fnmatch fractions functools gc genericpath getopt getpass gettext glob
        graphlib gzip hashlib heapq hmac html http importlib inspect io ipaddress itertools json
        keyword linecache locale logging mailbox marshal math mimetypes modulefinder netrc
        ntpath nturl2path numbers opcode operator optparse os pathlib pickle pickletools pkgutil
        platform plistlib posixpath pprint profile pstats py_compile pyclbr pyexpat queue quopri
        random re reprlib rlcompleter runpy sched secrets select selectors shelve shlex shutil
        signal site socket statistics stat string stringprep struct subprocess symtable sys
        sysconfig tabnanny tarfile tempfile textwrap threading time timeit token tokenize
        tomllib trace traceback tracemalloc types typing unicodedata unittest urllib uuid
        warnings wave weakref webbrowser xml zipapp zipfile zipimport zlib zoneinfo yoi_pdk
        """,
        "",
    )
)
"""Top-level modules that can be imported in the sandbox, the PDK among them."""

_CONNECTION = "declare it as [[connections]] in plugin.toml: the host keeps it, on_text hears it"
_REQUEST = 'return Request("target", "GET", "/path") and handle on_response'
NATIVE = "it has compiled code, which does not run in the sandbox"
"""Why a module is not there; a library of the same name without compiled code may be."""
FILES = 'read files of your package with importlib.resources, keep values with ctx.state["key"]'
THREADS = "there are no threads: return commands, the next event is the next call"
TIMER = 'return TimerSet("name", after_ms=1000) and handle on_timer'
CONFIG = "settings come as ctx.config (config_schema in plugin.toml), secrets by insert_secret"
_PROCESS = "there are no processes in the sandbox"

MODULES = {
    **_each(
        "requests httpx urllib3 pycurl http.client urllib.request",
        f"no sockets in the sandbox; {_REQUEST}",
    ),
    **_each(
        "websockets websocket aiohttp socketio wsproto picows",
        f"no sockets in the sandbox; {_CONNECTION}, or {_REQUEST}",
    ),
    **_each(
        """
        socket ssl socketserver select selectors smtplib ftplib imaplib poplib telnetlib
        nntplib asyncore asynchat xmlrpc wsgiref
        """,
        f"no sockets in the sandbox; {_CONNECTION}, or {_REQUEST}",
    ),
    **_each("multiprocessing pty fcntl resource termios", _PROCESS),
    **_each(
        """
        numpy pandas scipy pydantic_core orjson msgspec lxml PIL cryptography markupsafe
        yaml.cyaml ujson uvloop cffi ctypes
        """,
        NATIVE,
    ),
    "pydantic": f"pydantic 2 needs pydantic-core: {NATIVE}; use dataclasses or attrs",
    "jinja2": f"jinja2 needs markupsafe: {NATIVE}; use string.Template or f-strings",
    **_each("sqlite3 dbm", f"no files in the sandbox; {FILES}"),
    **_each("bz2 lzma", "it is not in the sandbox's Python; zlib and gzip are"),
    **_each("pdb doctest pydoc", "it is a tool for development; run it outside"),
    **_each("tkinter turtle curses readline", "there is no screen here"),
    "dotenv": f"no environment in the sandbox; {CONFIG}",
}
"""Modules that are not there, or cannot do their work: what to do instead."""

CALLS = {
    **_each(
        """
        open io.open os.open tempfile.TemporaryFile tempfile.NamedTemporaryFile
        tempfile.mkdtemp tempfile.TemporaryDirectory os.listdir os.makedirs
        """,
        f"no files here: {FILES}",
    ),
    "input": "a plugin has no keyboard: settings come as ctx.config",
    "time.sleep": f"a handler must not wait; {TIMER}",
    "asyncio.sleep": f"a handler must not wait; {TIMER}",
    **_each(
        """
        asyncio.run asyncio.get_event_loop asyncio.new_event_loop asyncio.create_task
        asyncio.gather asyncio.wait_for asyncio.open_connection
        """,
        "there is no event loop here: an async def handler runs to its end at once; "
        f"for an answer {_REQUEST}",
    ),
    **_each(
        """
        threading.Thread threading.Timer concurrent.futures.ThreadPoolExecutor
        concurrent.futures.ProcessPoolExecutor
        """,
        THREADS,
    ),
    **_each(
        """
        subprocess.run subprocess.Popen subprocess.call subprocess.check_call
        subprocess.check_output os.system os.popen os.fork os.execv
        """,
        _PROCESS,
    ),
    "urllib.request.urlopen": f"no sockets in the sandbox; {_REQUEST}",
    "os.getenv": f"no environment here: {CONFIG}",
    "zoneinfo.ZoneInfo": "time zone data is a library: yoi plugin add tzdata",
}
"""Calls that cannot work: what to do instead."""

ATTRIBUTES = {"os.environ": f"no environment here: {CONFIG}"}
"""Names whose use cannot work: what to do instead."""

"""The lists of the static review are what the runner's own Python says."""

import sys

from yoi.libraries.resolution import GUEST
from yoi.packages.guest_library import IMPORTABLE, MODULES, PYTHON
from yoi.sandbox import runner_build

from .test_runner_guest import value

_TRIES = """
def tried(names):
    found = []
    for name in names:
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    return found
"""


def test_what_is_listed_can_be_imported_and_the_rest_of_the_library_cannot(sandbox):
    """A dozen at a time: all modules together do not fit the guest's memory."""
    names = sorted((IMPORTABLE | set(sys.stdlib_module_names)) - {"antigravity", "this"})
    names = [name for name in names if not name.startswith("_") or name in IMPORTABLE]
    importable = set()
    for at in range(0, len(names), 60):
        part = names[at : at + 60]
        importable.update(value(sandbox, f"tried({part!r})", _TRIES))
    advised = {name.partition(".")[0] for name in MODULES}
    assert importable >= IMPORTABLE
    assert importable - IMPORTABLE - advised <= {
        "posix",
        "sre_compile",
        "sre_constants",
        "sre_parse",
    }


def test_libraries_are_chosen_for_the_python_that_runs_them(sandbox):
    """H2: each marker has the value that the guest itself would give it."""
    expressions = {
        "implementation_name": "sys.implementation.name",
        "implementation_version": "platform.python_version()",
        "os_name": "os.name",
        "platform_machine": "platform.machine()",
        "platform_python_implementation": "platform.python_implementation()",
        "platform_release": "platform.release()",
        "platform_system": "platform.system()",
        "platform_version": "platform.version()",
        "python_full_version": "platform.python_version()",
        "python_version": "'.'.join(platform.python_version_tuple()[:2])",
        "sys_platform": "sys.platform",
    }
    listed = ", ".join(f"{name!r}: {code}" for name, code in expressions.items())
    assert value(sandbox, f"{{{listed}}}", "import os, platform, sys") == GUEST
    assert PYTHON == runner_build.PYTHON

"""Run Autobahn's fuzzing server and hold the driver to every client case.

    make compliance        (or: python compliance/run.py [CASES...], such as 6.* 7.*)

Needs a Python 2.7 with pip, because the suite does; says so and exits 1 where there is none. So it
does when a case did not run, or is neither OK, NON-STRICT nor INFORMATIONAL and not among
`REFUSED`; a run of all cases has `CASES` of them. The last line is JSON.
"""

import collections
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

SUITE = "autobahntestsuite==0.8.2"
VIRTUALENV = "virtualenv==20.15.1"  # the last that makes environments for Python 2.7
HERE = Path(__file__).resolve().parent
REPORTS = HERE / "reports"
ENVIRONMENT = REPORTS / "py27"
CASES = 517
# What the product's own bounds refuse, and must refuse: see README.md.
REFUSED = frozenset({"9.3.1", "9.4.1"})
ACCEPTED = {"OK", "NON-STRICT", "INFORMATIONAL"}


def find_python27() -> str | None:
    """Return a Python 2.7 that runs, from PATH or a version manager's folder."""
    candidates = [shutil.which(name) or "" for name in ("python2.7", "python2")]
    for pattern in ("~/.pyenv/versions/2.7*/bin/python", "~/.asdf/installs/python/2.7*/bin/python"):
        candidates += sorted(glob.glob(os.path.expanduser(pattern)))
    for candidate in filter(None, candidates):
        probe = [candidate, "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])"]
        found = subprocess.run(probe, capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip() == "2.7":
            return candidate
    return None


def install(python27: str) -> Path:
    """Return the suite's `wstest`, installing it in an environment of its own the first time."""
    wstest = ENVIRONMENT / "bin" / "wstest"
    if wstest.exists():
        return wstest
    tools = REPORTS / "py27-tools"
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "-qqq"]
    subprocess.run([python27, *pip, "--target", str(tools), VIRTUALENV], check=True)
    with_tools = {**os.environ, "PYTHONPATH": str(tools)}
    subprocess.run(
        [python27, "-m", "virtualenv", "--quiet", str(ENVIRONMENT)], env=with_tools, check=True
    )
    subprocess.run([str(ENVIRONMENT / "bin" / "python"), *pip, SUITE], check=True)
    return wstest


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Return once the fuzzing server accepts connections; raise when it ends or takes too long."""
    for _ in range(300):
        if server.poll() is not None:
            raise SystemExit(f"the fuzzing server ended; see {REPORTS / 'server.log'}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the fuzzing server does not listen")


def run(wstest: Path, cases: list[str]) -> dict[str, dict[str, str]]:
    """Run `cases` through the driver and return the server's verdicts by case."""
    port = free_port()
    outdir = REPORTS / "clients"
    shutil.rmtree(outdir, ignore_errors=True)
    spec = {
        "url": f"ws://127.0.0.1:{port}",
        "outdir": str(outdir),
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (REPORTS / "server.json").write_text(json.dumps(spec))
    command = [str(wstest), "-m", "fuzzingserver", "-u", "0", "-s", str(REPORTS / "server.json")]
    with (REPORTS / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPORTS)
        try:
            wait_until_listening(port, server)
            client = [sys.executable, str(HERE / "autobahn_client.py"), f"ws://127.0.0.1:{port}"]
            subprocess.run(client, check=True)
        finally:
            server.terminate()
            server.wait()
    verdicts: dict[str, dict[str, str]] = json.loads((outdir / "index.json").read_text())["yoi"]
    return verdicts


def main() -> int:
    python27 = find_python27()
    if python27 is None:
        print("not run: the Autobahn suite needs a Python 2.7 with pip, and none was found here")
        return 1
    REPORTS.mkdir(exist_ok=True)
    asked = sys.argv[1:]
    verdicts = run(install(python27), asked or ["*"])
    bad = {
        case: verdict
        for case, verdict in sorted(verdicts.items())
        if (verdict["behavior"] in ACCEPTED and verdict["behaviorClose"] in ACCEPTED)
        == (case in REFUSED)
    }
    for case, verdict in bad.items():
        print(f"{case}: {verdict['behavior']}, close {verdict['behaviorClose']}")
    count = collections.Counter(verdict["behavior"] for verdict in verdicts.values())
    print(json.dumps({"cases": len(verdicts), "bad": len(bad), **dict(sorted(count.items()))}))
    missing = 0 if asked else CASES - len(verdicts)
    if missing:
        print(f"{missing} of {CASES} cases did not run")
    return 1 if bad or missing or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())

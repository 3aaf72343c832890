"""N1, N2 where networks are real: namespaces, dead routes, real proxy programs. `make networks`.

Each case runs in user, network and mount namespaces of its own (`unshare -rnm`), so nothing of the
machine changes and no root is needed where the machine allows such namespaces.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    "hosts": "127.0.0.1 localhost\n10.9.8.1 near.test two.test\nfd00:9::99 two.test\n"
    "10.9.8.2 deaf.test\n10.9.8.1 deaf.test\n",
    "proxy-hosts": "127.0.0.1 localhost\n10.9.8.1 near.test only.test\n",
    "resolv.conf": "nameserver 127.0.0.53\n",
    "tinyproxy.conf": "Port 3128\nListen 127.0.0.1\nMaxClients 20\nLogLevel Error\n",
    "nsswitch.conf": "hosts: files\n",
    "gai.conf": "precedence fd00:9::/64 100\nprecedence ::ffff:0:0/96 10\n",
}
SCRIPT = """set -e
folder=$1; shift
ip link set lo up
for name in hosts resolv.conf nsswitch.conf gai.conf; do
    [ ! -e /etc/$name ] || mount --bind "$folder/$name" /etc/$name
done
exec "$@"
"""


@functools.cache
def why_not():
    """Return why no namespace can be made here; None where one can."""
    missing = [name for name in ("unshare", "ip") if shutil.which(name) is None]
    if missing:
        return f"no {missing[0]} on this machine"
    tried = subprocess.run(["unshare", "-rnm", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"this machine allows no user and network namespace: {tried.stderr.strip()}"
    return None


def run(case, folder, needs=()):
    """Return what the case found, as JSON."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    for program in needs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {needs[program]}")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "tests.network.case", case, str(folder)]
    done = subprocess.run(
        ["unshare", "-rnm", "--kill-child", "sh", "-c", SCRIPT, "sh", str(folder), *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"| {case} | {json.dumps(found)} |")
    return found


def test_a_dead_family_costs_less_than_a_second(tmp_path):
    found = run("dead-family", tmp_path)
    assert max(found["seconds"]) < 1


def test_an_address_that_accepts_and_never_answers_hides_no_other(tmp_path):
    found = run("blackholed-first", tmp_path)
    assert found["address"].startswith("10.9.8.2:")
    assert found["deaf_asked"] == 1
    assert found["first"] < 5
    assert found["again"] < 1


def test_a_host_that_vanishes_is_noticed_and_found_again(tmp_path):
    found = run("vanished-host", tmp_path)
    assert found["code"] in ("connection.idle", "connection.lost")
    assert found["noticed"] < 2
    assert found["back"] < 2


HTTP = {"tinyproxy": "tinyproxy-bin"}
SOCKS = {"microsocks": "microsocks"}


def test_a_connection_opens_through_tinyproxy(tmp_path):
    found = run("http-proxy", tmp_path, HTTP)
    assert found["heard"] == "hello"
    assert found["address"].startswith("10.9.8.1:")
    assert found["unknown"] == "connection.dns"
    assert found["gone"] == "connection.proxy"


def test_a_connection_opens_through_microsocks_with_its_credentials(tmp_path):
    found = run("socks5-proxy", tmp_path, SOCKS)
    assert found["heard"] == "hello"
    assert found["login"] == "connection.proxy_credentials"
    assert found["gone"] == "connection.proxy"


@pytest.mark.parametrize(
    ("case", "needs"), [("http-proxy-by-name", HTTP), ("socks5-proxy-by-name", SOCKS)]
)
def test_a_proxy_looks_up_a_name_that_this_machine_does_not_know(tmp_path, case, needs):
    found = run(case, tmp_path, needs)
    assert found["heard"] == "hello"
    assert found["address"].startswith("only.test:")
    assert found["unknown"] == "connection.proxy_refused"


def test_a_proxy_that_is_named_while_the_host_runs_is_used(tmp_path):
    found = run("host-toml", tmp_path, HTTP)
    assert found["before"] == "connection.dns"
    assert found["address"].startswith("only.test:")
    assert found["lasted"]


@pytest.mark.parametrize(
    ("case", "needs"), [("http-proxy-returns", HTTP), ("socks5-proxy-returns", SOCKS)]
)
def test_a_proxy_that_ends_is_noticed_and_found_again(tmp_path, case, needs):
    found = run(case, tmp_path, needs)
    assert found["code"] == "connection.proxy"
    assert found["back"] < 5

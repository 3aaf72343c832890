"""U3, M6, M7: what `[cluster]` may say, and that nothing of it is loaded without it."""

import subprocess
import sys

import pytest

from yoi.cluster.settings import ClusterSettings
from yoi.errors import EnablementError


def read(**table):
    return ClusterSettings.read({"cluster": {"nats": ["nats://a:4222"], **table}})


def test_what_is_written_and_what_is_not():
    assert ClusterSettings.read({}) is None
    found = read(name="desk", replicas=3, user="u", password="nats-password")
    assert found == ClusterSettings(
        ("nats://a:4222",), "desk", 3, user="u", password="nats-password"
    )
    assert found.lease_ms == 15_000


@pytest.mark.parametrize(
    "table",
    [
        {"nats": []},
        {"nats": ["http://a"]},
        {"nats": ["nats://"]},
        {"nats": ["nats://user:word@a:4222"]},
        {"nats": ["nats://a:4222/path"]},
        {"nats": ["nats://a:4222"] * 10},
        {"name": "a b"},
        {"replicas": 0},
        {"replicas": 7},
        {"lease_ms": 100},
        {"lease_ms": 60_001},
        {"size_bytes": 1},
        {"password": "a b"},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_used_is_refused(table):
    with pytest.raises(EnablementError) as caught:
        read(**table)
    assert caught.value.code == "enablement.malformed"
    assert "cluster" in str(caught.value)


def test_a_host_by_itself_loads_nothing_of_it():
    code = "import sys, yoi.host.host, yoi.cli.serve; print('nats' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"

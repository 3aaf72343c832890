"""Where a process listens and whom it dials: strict, private, and never plain text far away."""

import textwrap

import pytest
from tests.canary import Canaries

from yoi.decisions.port import WholeWorkspace
from yoi.errors import EnablementError
from yoi.serving.listeners import Listen
from yoi.serving.settings import ServingSettings
from yoi.toml import parse_toml


def parse(text, tmp_path):
    return ServingSettings.read(parse_toml(textwrap.dedent(text).encode()), tmp_path, "yoi.toml")


def test_nothing_said_is_loopback_and_one_runtime(tmp_path):
    settings = ServingSettings.load(tmp_path, decisions=WholeWorkspace())
    assert settings == parse("", tmp_path)
    assert settings.backend.listener.listen == Listen("127.0.0.1", 7717)
    assert settings.runtime.listener.listen == Listen("127.0.0.1", 7718)
    assert settings.runtime.id == "local"
    assert settings.runtimes == ()
    assert not settings.backend.persist
    assert settings.backend.listener.tls is None
    settings.check_local()


def test_everything_said(tmp_path):
    (tmp_path / ".yoi").mkdir()
    (tmp_path / ".yoi" / "yoi.toml").write_text(
        """
        [observation]
        listen = "0.0.0.0:443"
        names = ["yoi.example.com", "Yoi.example.com:8443"]
        origins = ["https://console.example.com"]
        tls = { certificate = "tls/cert.pem", key = "/etc/yoi/key.pem" }
        persist = true

        [runtime]
        id = "east"
        listen = "[::1]:0"

        [[backend.runtimes]]
        id = "west"
        url = "wss://west.example.com/yoi/"
        token = "runtime-west"
        ca = "west-ca.pem"

        [[backend.runtimes]]
        id = "near"
        url = "ws://127.0.0.1:7718"
        token = "runtime-near"

        [[plugins.enabled]]
        whatever = "is not looked at here"
        """
    )
    settings = ServingSettings.load(tmp_path, decisions=WholeWorkspace())
    listener = settings.backend.listener
    assert listener.listen == Listen("0.0.0.0", 443)
    assert listener.names == ("yoi.example.com", "yoi.example.com:8443")
    assert listener.tls.certificate == tmp_path / "tls" / "cert.pem"
    assert str(listener.tls.key) == "/etc/yoi/key.pem"
    assert settings.backend.persist
    assert settings.runtime.id == "east"
    assert str(settings.runtime.listener.listen) == "[::1]:0"
    west, near = settings.runtimes
    assert (west.id, west.url, west.token) == ("west", "wss://west.example.com/yoi", "runtime-west")
    assert west.ca == tmp_path / "west-ca.pem"
    assert near.url == "ws://127.0.0.1:7718"
    names = listener.names_at("0.0.0.0", 443)
    assert "yoi.example.com" in names.hosts
    assert "https://console.example.com" in names.origins


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("observation = 1", "observation"),
        ("[observation]\nlisten_on = 1", "observation.listen_on"),
        ("[observation]\nlisten = 7717", "observation.listen"),
        ('[observation]\nlisten = "7717"', "observation.listen"),
        ('[observation]\nlisten = ":7717"', "observation.listen"),
        ('[observation]\nlisten = "127.0.0.1"', "observation.listen"),
        ('[observation]\nlisten = "127.0.0.1:"', "observation.listen"),
        ('[observation]\nlisten = "127.0.0.1:65536"', "observation.listen"),
        ('[observation]\nlisten = "127.0.0.1:-1"', "observation.listen"),
        ('[observation]\nlisten = "127.0.0.1:\uff17"', "observation.listen"),
        ('[observation]\nlisten = "::1:7717"', "observation.listen"),
        ('[observation]\nlisten = "[127.0.0.1]:7717"', "observation.listen"),
        ('[observation]\nlisten = "[fe80::1%eth0]:7717"', "observation.listen"),
        ('[observation]\nlisten = "yoi.example.com:7717"', "observation.listen"),
        ('[observation]\nnames = ["https://yoi.example.com"]', "observation.names[0]"),
        ('[observation]\nnames = ["yoi.example.com/x"]', "observation.names[0]"),
        ('[observation]\nnames = ["yoi.example.com?x"]', "observation.names[0]"),
        ('[observation]\nnames = ["a@yoi.example.com"]', "observation.names[0]"),
        ('[observation]\nnames = ["*"]', "observation.names[0]"),
        ('[observation]\nnames = ["*.example.com"]', "observation.names[0]"),
        ('[observation]\nnames = ["a b"]', "observation.names[0]"),
        ('[observation]\nnames = ["yoi.example.com."]', "observation.names[0]"),
        ("[observation]\nnames = [" + '"a.example.com",' * 40 + "]", "observation.names"),
        ('[observation]\norigins = ["*"]', "observation.origins[0]"),
        ('[observation]\norigins = ["null"]', "observation.origins[0]"),
        ('[observation]\norigins = ["https://x.example.com/"]', "observation.origins[0]"),
        ('[observation]\norigins = ["https://x.example.com:443"]', "observation.origins[0]"),
        ('[observation]\norigins = ["wss://x.example.com"]', "observation.origins[0]"),
        ('[observation]\npersist = "yes"', "observation.persist"),
        ('[observation]\ntls = "cert.pem"', "observation.tls"),
        ('[observation]\ntls = { certificate = "c" }', "observation.tls.key"),
        ('[observation]\ntls = { certificate = "c", key = "k", ca = "x" }', "observation.tls.ca"),
        ('[runtime]\nid = "a b"', "runtime.id"),
        ('[runtime]\norigins = ["https://x.example.com"]', "runtime.origins"),
        ("[runtime]\npersist = true", "runtime.persist"),
        ('[backend]\nlisten = "x"', "backend.listen"),
        ("[backend]\nruntimes = 1", "backend.runtimes"),
        ("[backend.runtimes]\nid = 1", "backend.runtimes"),
    ],
)
def test_what_is_not_settings_has_a_place(tmp_path, text, at):
    with pytest.raises(EnablementError) as caught:
        parse(text, tmp_path)
    assert caught.value.code == "enablement.malformed"
    assert caught.value.fields["at"] == at


def test_text_that_is_not_toml(tmp_path):
    (tmp_path / ".yoi").mkdir()
    (tmp_path / ".yoi" / "yoi.toml").write_text("= 1")
    with pytest.raises(EnablementError) as caught:
        ServingSettings.load(tmp_path, decisions=WholeWorkspace())
    assert caught.value.code == "enablement.toml"


@pytest.mark.parametrize("table", ["observation", "runtime"])
@pytest.mark.parametrize(
    "listen", ["0.0.0.0:7717", "10.0.0.5:7717", "[::]:7717", "[2001:db8::1]:1"]
)
def test_far_away_is_never_plain(tmp_path, table, listen):
    with pytest.raises(EnablementError) as caught:
        parse(f'[{table}]\nlisten = "{listen}"\nnames = ["yoi.example.com"]', tmp_path)
    assert f"[{table}] tls = " in caught.value.hint
    assert "no TLS" in caught.value.message


def test_every_address_needs_a_name(tmp_path):
    with pytest.raises(EnablementError) as caught:
        parse('[runtime]\nlisten = "0.0.0.0:1"\ntls = { certificate = "c", key = "k" }', tmp_path)
    assert caught.value.fields["at"] == "runtime.names"
    assert "names = " in caught.value.hint


def remote(**values):
    base = {"id": '"west"', "url": '"wss://west.example.com"', "token": '"west"'} | values
    return "[[backend.runtimes]]\n" + "".join(f"{k} = {v}\n" for k, v in base.items() if v)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"id": None}, "id"),
        ({"id": '"a/b"'}, "id"),
        ({"token": None}, "token"),
        ({"token": '"yoi token"'}, "token"),
        ({"url": None}, "url"),
        ({"url": '"https://secret.example.com"'}, "url"),
        ({"url": '"secret.example.com"'}, "url"),
        ({"url": '"wss://user:pw@secret.example.com"'}, "url"),
        ({"url": '"wss://secret.example.com?token=x"'}, "url"),
        ({"url": '"wss://secret.example.com#x"'}, "url"),
        ({"url": '"wss://secret.example.com/a/../b"'}, "url"),
        ({"url": '"ws://secret.example.com"'}, "url"),
        ({"url": '"ws://10.1.2.3:7718"'}, "url"),
        ({"insecure": "true"}, "insecure"),
        ({"insecure": '"yes"'}, "insecure"),
        ({"ca": "1"}, "ca"),
        ({"password": '"x"'}, "password"),
    ],
)
def test_what_is_not_a_runtime_and_no_endpoint_in_the_words(tmp_path, values, key):
    with pytest.raises(EnablementError) as caught:
        parse(remote(**values), tmp_path)
    assert caught.value.fields["at"] == f"backend.runtimes[0].{key}"
    shown = f"{caught.value} {caught.value!r} {caught.value.hint} {caught.value.fields}"
    assert "secret.example.com" not in shown
    assert "10.1.2.3" not in shown


def test_plain_to_another_machine_only_when_said(tmp_path):
    text = remote(url='"ws://west.example.com"', insecure="true")
    assert parse(text, tmp_path).runtimes[0].url == "ws://west.example.com"
    for near in ("localhost:1", "127.0.0.9:1", "[::1]:1"):
        assert parse(remote(url=f'"ws://{near}"'), tmp_path).runtimes


def test_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(EnablementError) as caught:
        parse(remote() + remote(), tmp_path)
    assert caught.value.fields["at"] == "backend.runtimes[1].id"
    clash = parse('[runtime]\nid = "west"\n' + remote(), tmp_path)
    with pytest.raises(EnablementError, match="runtime of this process"):
        clash.check_local()


def test_too_many_runtimes(tmp_path):
    text = "".join(remote(id=f'"r{n}"') for n in range(65))
    with pytest.raises(EnablementError, match="more than 64"):
        parse(text, tmp_path)


def test_no_endpoint_in_any_repr(tmp_path):
    canaries = Canaries()
    canaries.mark("host", "west.example.com")
    settings = parse(remote(ca='"/private/west.example.com.pem"'), tmp_path)
    assert canaries.grep_everything(shown=[repr(settings), str(settings.runtimes)]) == []


def test_a_table_that_no_part_reads_is_refused(tmp_path):
    with pytest.raises(EnablementError, match='did you mean "observation"') as caught:
        parse("[observaton]\n[network]\n", tmp_path)
    told = [one["at"] for one in caught.value.fields["faults"]]
    assert told == ["observaton", "network"]
    with pytest.raises(EnablementError, match=r"belongs into host\.toml"):
        parse("[host]\nconnections = 1", tmp_path)

"""`yoi doctor`: each check on a place made for it."""

import json
import resource

import pytest
from tests.host.test_faulty_parts import OFF, REFUSED

from yoi.cli import doctor_checks
from yoi.cli.doctor_checks import CHECKS, DoctorScope, Finding
from yoi.testing.trusting import trust_workspace


@pytest.fixture
def place(workspace):
    (workspace / ".yoi").mkdir()
    return DoctorScope(workspace)


def levels(findings):
    return {finding.level for finding in findings}


def test_all_is_well_in_an_empty_workspace(yoi, workspace):
    """The whole command, sandbox and runner included."""
    ran = yoi("doctor", "--json")
    answer = json.loads(ran.out)
    assert ran.status == 0, answer
    assert answer["ok"] is True
    names = {check["name"] for check in answer["checks"]}
    assert names >= {
        "python", "event loop", "engine", "runner", "code cache", "workspace", "store", "enabled",
        "host", "clock", "open files", "certificates",
    }  # fmt: skip


def test_a_failure_exits_1_and_says_the_fix(yoi, workspace, monkeypatch, golden):
    def broken(place):
        return [
            Finding("one", "fail", "it is \x1b[2J[red]broken\u202e", "mend it"),
            Finding("two", "warn", "it is odd", "look"),
            Finding("three", "ok", "fine"),
        ]

    monkeypatch.setattr(doctor_checks, "CHECKS", (broken,))
    ran = yoi("doctor")
    assert ran.status == 1
    golden("doctor.txt", ran.out)


@pytest.mark.parametrize("name", [".yoi", ".yoi/yoi.toml"])
def test_a_workspace_that_others_may_write_fails(place, name):
    path = place.workspace / name
    if not path.exists():
        path.write_text("")
    path.chmod(0o777)
    (finding,) = doctor_checks.workspace(place)
    assert finding.level == "fail"
    assert finding.fix == f"chmod o-w {path}"


def test_a_broken_package_and_a_missing_one_are_warnings(place):
    store = place.folder / "plugins"
    store.mkdir()
    (store / "torn.yoi-plugin").write_bytes(b"PK")
    (place.folder / "yoi.toml").write_text(
        f'[[plugins.enabled]]\nid = "project:gone"\nversion = "1"\ndigest = "sha256:{"0" * 64}"\n'
    )
    trust_workspace(place.folder.parent)
    findings = doctor_checks.plugins(place)
    assert [finding.name for finding in findings if finding.level == "warn"] == ["store", "enabled"]


def test_an_unreadable_configuration_fails(place):
    (place.folder / "yoi.toml").write_text("= nope")
    assert "fail" in levels(doctor_checks.plugins(place))


def test_a_host_is_found(place, serving):
    async def status(params):
        return {"pid": 7}

    assert "no host" in doctor_checks.control_socket(place)[0].message
    with serving(place.workspace, {"host.status": status}):
        assert "process 7" in doctor_checks.control_socket(place)[0].message


def test_a_control_socket_open_to_others_fails(place, serving):
    from yoi.control.wire import socket_path

    with serving(place.workspace, {}):
        socket_path(place.workspace).chmod(0o666)
        assert levels(doctor_checks.control_socket(place)) == {"fail"}


def test_a_stale_socket_is_no_failure(place):
    import socket

    from yoi.control.wire import socket_path

    path = socket_path(place.workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    path.chmod(0o600)
    (finding,) = doctor_checks.control_socket(place)
    assert (finding.level, "replaces it" in finding.message) == ("ok", True)
    path.unlink()


def test_a_clock_in_the_past_fails(place, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert levels(doctor_checks.clock(place)) == {"fail"}


@pytest.mark.parametrize(
    ("hard", "level"), [(256, "warn"), (100_000, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_few_open_files_are_a_warning(hard, level, place, monkeypatch):
    """What serves takes as many as its account may have, whatever the shell says."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, hard))
    assert levels(doctor_checks.open_files(place)) == {level}


def test_checks_have_distinct_names():
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)


def test_settings_of_this_machine_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv("YOI_HOST_CONFIG", str(tmp_path / "host.toml"))
    (tmp_path / "host.toml").write_text("[host]\nconections = 1\n")
    (finding,) = doctor_checks.machine(DoctorScope(tmp_path))
    assert finding.level == "fail"
    assert "host.conections" in finding.message
    (tmp_path / "host.toml").write_text("[host]\nconnections = 1\n")
    assert levels(doctor_checks.machine(DoctorScope(tmp_path))) == {"ok"}
    (tmp_path / "host.toml").chmod(0o666)
    (finding,) = doctor_checks.machine(DoctorScope(tmp_path))
    assert finding.fix.startswith("chmod go-w ")


def test_a_worker_whose_table_is_faulty_is_named_with_its_line(place):
    """It must not vanish."""
    toml = place.folder / "yoi.toml"
    toml.write_text('[[workers]]\nname = "a"\nmodel = "openai:m"\ncolour = "red"\n')
    fault, fine = doctor_checks.workers(place)
    assert (fault.level, fine.level) == ("fail", "ok")
    assert fault.message.startswith("a: line 4 of yoi.toml: workers[0].colour")
    assert "yoi trust" in fault.fix


@pytest.mark.parametrize("part", [*OFF, *REFUSED])
def test_a_fault_in_any_part_of_the_file_is_found_before_a_host_starts(place, part):
    text, *_ = {**OFF, **REFUSED}[part]
    (place.folder / "yoi.toml").write_text(text)
    file = (doctor_checks.tables, doctor_checks.plugins, doctor_checks.workers, doctor_checks.mcp)
    assert {"fail", "warn"} & {one.level for check in file for one in check(place)}


def test_mcp_servers_are_counted_and_faulty_tables_named_with_their_line(place):
    assert doctor_checks.mcp(place) == doctor_checks.tables(place) == []
    good = '[[mcp.servers]]\nname = "a"\ncommand = ["a"]\n'
    (place.folder / "yoi.toml").write_text(good + '[[mcp.servers]]\nname = "b"\ncomand = ["b"]\n')
    fault, fine = doctor_checks.mcp(place)
    assert fault.fix == "mend line 6 of .yoi/yoi.toml, then: yoi trust"
    assert fine.message == "1 server can be started"


def test_a_secret_that_is_granted_and_not_there_is_named_with_the_command(place):
    (none,) = doctor_checks.granted_secrets(place)
    assert none.level == "ok"
    which = f'id = "project:chat"\nversion = "0.1.0"\ndigest = "sha256:{"0" * 64}"\n'
    (place.folder / "yoi.toml").write_text(
        f"[[plugins.enabled]]\n{which}[plugins.enabled.grants]\n{which}"
        "[[plugins.enabled.grants.secrets]]\n"
        'name = "bot"\nconnection = "gateway"\nat = ["/token"]\nsecret = "chat-bot"\n'
    )
    trust_workspace(place.workspace)
    (missing,) = doctor_checks.granted_secrets(place)
    assert (missing.level, missing.fix) == ("warn", "yoi secret set chat-bot")

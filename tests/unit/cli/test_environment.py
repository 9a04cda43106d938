"""Whatever stands in the environment: a command says in words what is wrong, and repeats no password."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.cli import bus
from bus.cli.entry_point import main
from bus.runtime.settings import read_settings
from bus.runtime.supervisor import NEEDS_OPERATOR

SECRET = "s3cr3tword"
COMMANDS = [
    "run", "web auth", "worker auth", "migrate", "call auth.ping", "send catalog.delete_product product_id=1",
    "topology --check", "events tail", "dead-letters list auth", "dead-letters replay auth --all",
    "sealing-keys list auth",
]  # fmt: skip


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> pytest.MonkeyPatch:
    """An empty folder, and ports and a broker that nothing uses."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    monkeypatch.setattr("bus.runtime.doctor.ports.ANSWER_SECONDS", 0.1)
    return monkeypatch


@pytest.mark.parametrize("command", COMMANDS)
def test_a_url_with_a_mistake_is_one_sentence_everywhere(
    elsewhere: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    elsewhere.setenv("BUS_URL", f"amqp://ada:{SECRET}#{SECRET}@localhost/")
    elsewhere.setattr("sys.argv", ["bus", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capfd.readouterr()
    assert ended.value.code == NEEDS_OPERATOR
    assert printed.out == ""
    assert printed.err == "bus: BUS_URL has a '#': where it belongs to a name or a password, write %23.\n"


@pytest.mark.parametrize("command", ["web auth", "worker auth", "worker auth --processes 2", "call auth.ping"])
def test_a_process_of_its_own_needs_a_broker_that_others_can_reach(elsewhere: pytest.MonkeyPatch, command: str) -> None:
    elsewhere.delenv("BUS_URL", raising=False)
    ran = CliRunner().invoke(bus, command.split())
    assert ran.exit_code == NEEDS_OPERATOR
    assert "The embedded broker can only be used inside `bus run`. Set BUS_URL to an amqp:// URL." in ran.output


def test_a_misspelt_name_is_pointed_out_by_every_command_and_once(elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("AUTH_DATABSE_URL", f"postgresql://auth:{SECRET}@localhost/auth")
    ran = CliRunner().invoke(bus, ["topology"])
    assert ran.exit_code == 0
    assert ran.stderr == "bus: AUTH_DATABSE_URL is set, but is not a setting. Did you mean AUTH_DATABASE_URL?\n"
    assert CliRunner().invoke(bus, ["topology"]).stderr == ""  # nor by the processes that a command starts


def test_the_doctor_reports_a_misspelt_name(elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("AUTH_DATABSE_URL", "x")
    findings = _examined("--skip", "ports", "--skip", "database")
    assert ("warning", "AUTH_DATABSE_URL is set, but is not a setting. Did you mean AUTH_DATABASE_URL?") in findings


def test_the_doctor_reports_a_host_that_does_not_exist(elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("BUS_URL", f"amqp://ada:{SECRET}@no.such.host.invalid/")
    findings = _examined("--skip", "ports", "--skip", "database")
    (broker,) = (detail for state, detail in findings if state == "wrong")
    assert broker.startswith("RabbitMQ at no.such.host.invalid:5672 cannot be reached: ")
    ran = CliRunner().invoke(bus, ["topology", "--check"])
    assert str(ran.exception).startswith("RabbitMQ at no.such.host.invalid:5672 cannot be reached: ")


def _variables() -> list[str]:
    asked: list[str] = []

    class Environment(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            asked.append(name)
            return default

    read_settings(Environment(), {"auth": 5000, "catalog": 5001})
    return sorted({*asked})


# A password among what people, editors and other programs may put around it; an environment holds bytes but NUL.
_PIECES = st.sampled_from(
    [SECRET, "amqp://", "amqps://", "postgresql://", "sqlite:///", "memory://", "ada:", "@", "/", "//", "?", "#", "%",
     "127.0.0.1", "[::1]", ":1", ":", "~", "..", "=", "&", "heartbeat=", "sslmode=", ",", "0", "1", "\r\n", "\ufeff",
     "\udcff", "é", " ", "x" * 300]
)  # fmt: skip
_GARBAGE = st.lists(_PIECES, max_size=8).map("".join) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(_variables()), _GARBAGE, min_size=1, max_size=3))
def test_the_doctor_reports_any_garbage_without_a_trace(
    elsewhere: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BUS_URL", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value if _may_have_a_password(name, value) else value.replace(SECRET, "word"))
        ran = CliRunner().invoke(bus, ["doctor", "--json", "--skip", "ports"])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), environment
    findings = json.loads(ran.stdout)
    assert not [each for each in findings if "defect" in each["detail"]], (environment, findings)
    assert SECRET not in ran.output, environment


def _may_have_a_password(name: str, value: str) -> bool:
    """URLs may, but not those of SQLite: its files are named. So may a URL that was given as the name of a file."""
    return ("_URL" in name and "sqlite" not in value) or name.endswith("_FILE")


def _examined(*options: str) -> list[tuple[str, str]]:
    findings = json.loads(CliRunner().invoke(bus, ["doctor", "auth", "--json", *options]).stdout)
    return [(each["state"], each["detail"]) for each in findings]


@pytest.mark.parametrize("command", ["run auth", "migrate auth", "sealing-keys list auth"])
def test_a_database_that_cannot_be_reached_is_named_by_its_setting(
    elsewhere: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    elsewhere.setenv("AUTH_DATABASE_URL", f"postgresql://ada:{SECRET}@127.0.0.1:1/auth")
    elsewhere.setattr("sys.argv", ["bus", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capfd.readouterr().err
    assert ended.value.code == NEEDS_OPERATOR
    assert printed.startswith("bus: AUTH_DATABASE_URL: The database cannot be reached.")
    assert SECRET not in printed
    assert printed.count("\n") == 1

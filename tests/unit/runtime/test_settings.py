"""Settings are read once, and all errors are reported at once."""

from pathlib import Path

import pytest

from bus.messaging.topology import Limits
from bus.runtime.settings import ServiceSettings, SettingsError, read_settings

PORTS = {"auth": 5000, "catalog": 5001}


def test_without_any_setting_everything_runs_here() -> None:
    settings = read_settings({}, PORTS)
    assert (settings.bus_url, settings.bind, settings.seed, settings.log_level) == (
        "memory://",
        "127.0.0.1",
        True,
        "info",
    )
    assert settings.services == {
        "auth": ServiceSettings(5000, "sqlite:///data/auth.db"),
        "catalog": ServiceSettings(5001, "sqlite:///data/catalog.db"),
    }


def test_every_setting_is_taken_from_its_variable() -> None:
    environment = {
        "BUS_URL": "amqp://guest@localhost/",
        "BIND": "0.0.0.0",
        "SEED": "0",
        "LOG_LEVEL": "debug",
        "DATA_DIR": "/srv",
        "AUTH_PORT": "80",
        "AUTH_REQUIRE_SEALED": "1",
        "AUTH_METRICS_PORT": "9100",
        "CATALOG_DATABASE_URL": "postgresql://localhost/catalog",
    }
    settings = read_settings(environment, PORTS)
    assert (settings.bus_url, settings.bind, settings.seed) == ("amqp://guest@localhost/", "0.0.0.0", False)
    assert settings.log_level == "debug"
    assert settings.services["auth"] == ServiceSettings(
        80, "sqlite:////srv/auth.db", require_sealed=True, metrics_port=9100
    )
    assert settings.services["catalog"].database_url == "postgresql://localhost/catalog"


def test_an_empty_variable_counts_as_unset() -> None:
    empty = {"BUS_URL": "", "AUTH_PORT": "", "AUTH_METRICS_PORT": "", "AUTH_PORT_FILE": ""}
    assert read_settings(empty, PORTS) == read_settings({}, PORTS)


def test_all_errors_are_reported_at_once_each_with_the_name_of_its_variable() -> None:
    environment = {
        "BUS_URL": "http://localhost",
        "BIND": "everywhere",
        "SEED": "yes",
        "LOG_LEVEL": "loud",
        "AUTH_PORT": "70000",
        "AUTH_METRICS_PORT": "70001",
        "CATALOG_PORT": "http",
        "CATALOG_REQUIRE_SEALED": "always",
        "AUTH_DATABASE_URL": "mysql://localhost/auth",
        "CATALOG_DATABASE_URL": "catalog.db",
    }
    lines = _errors(environment)
    assert sorted(line.split()[0] for line in lines) == sorted(environment)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "5000.0", "0x50", " ", "five", "+5"])
def test_an_invalid_port_is_an_error(port: str) -> None:
    assert len(_errors({"AUTH_PORT": port})) == 1


@pytest.mark.parametrize("url", ["postgresql://localhost:abc/catalog", "postgresql", "://", "sqlite", "oracle://x/y"])
def test_an_invalid_database_url_is_an_error(url: str) -> None:
    assert len(_errors({"CATALOG_DATABASE_URL": url})) == 1


def test_a_setting_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("amqp://user:secret@localhost/\n")
    assert read_settings({"BUS_URL_FILE": str(tmp_path / "url")}, PORTS).bus_url == "amqp://user:secret@localhost/"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (line,) = _errors({"BUS_URL_FILE": str(tmp_path / "missing")})
    assert line.startswith("BUS_URL_FILE must name a readable text file: ")


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "url").write_bytes(b"\xff\xfe")
    (line,) = _errors({"BUS_URL_FILE": str(tmp_path / "url")})
    assert line.startswith("BUS_URL_FILE must name a readable text file: ")


def test_a_setting_and_its_file_together_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("memory://")
    lines = _errors({"BUS_URL": "memory://", "BUS_URL_FILE": str(tmp_path / "url")})
    assert lines == ["BUS_URL and BUS_URL_FILE are both set: set one."]


def test_a_shared_port_is_an_error() -> None:
    assert _errors({"AUTH_PORT": "5001"}) == ["AUTH_PORT and CATALOG_PORT are equal: set them to different values."]
    (line,) = _errors({"AUTH_METRICS_PORT": "9100", "CATALOG_METRICS_PORT": "9100"})
    assert line.startswith("AUTH_METRICS_PORT and CATALOG_METRICS_PORT are equal")


def test_a_shared_database_is_an_error() -> None:
    url = "postgresql://localhost/all"
    (line,) = _errors({"AUTH_DATABASE_URL": url, "CATALOG_DATABASE_URL": url})
    assert line.startswith("AUTH_DATABASE_URL and CATALOG_DATABASE_URL are equal")
    assert url not in line


def _errors(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as error:
        read_settings(environment, PORTS)
    return str(error.value).splitlines()


def test_a_workers_limits_can_be_set() -> None:
    given = {"HANDLER_SECONDS": "2.5", "RETRY_SECONDS": "1,2", "QUEUE_BOUND": "100", "KEEP_DAYS": "30"}
    limits = read_settings(given | {"QUERY_QUEUES": "quorum"}, {}).limits
    assert limits == Limits(2.5, retry_seconds=(1, 2), queue_bound=100, replicate_queries=True, keep_days=30)
    assert read_settings({}, {}).limits == Limits()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HANDLER_SECONDS", "0"),
        ("HANDLER_SECONDS", "soon"),
        ("QUEUE_BOUND", "-1"),
        ("QUEUE_BOUND", "1e9"),
        ("QUERY_QUEUES", "mirrored"),
        ("RETRY_SECONDS", "5,5"),
        ("RETRY_SECONDS", "5,0"),
        ("RETRY_SECONDS", "1.5"),
        ("RETRY_SECONDS", ",".join(map(str, range(1, 12)))),
    ],
)
def test_an_invalid_limit_is_an_error(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value}, {})

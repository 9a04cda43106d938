"""Settings are read once, and all errors are reported at once."""

from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from bus.contract.fields import Secret
from bus.contract.settings import Settings
from bus.database.opening import sqlite_file
from bus.messaging.topology import Limits
from bus.runtime.settings import ServiceSettings, SettingsError, read_settings

KEYS = ("A" * 43 + "=", "B" * 42 + "A=")
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
        "AUTH_DATABASE_KEY": f"{KEYS[0]}, {KEYS[1]}",
        "CATALOG_DATABASE_URL": "postgresql://localhost/catalog",
    }
    settings = read_settings(environment, PORTS)
    assert (settings.bus_url, settings.bind, settings.seed) == ("amqp://guest@localhost/", "0.0.0.0", False)
    assert settings.log_level == "debug"
    assert settings.services["auth"] == ServiceSettings(
        80, "sqlite:////srv/auth.db", require_sealed=True, metrics_port=9100, database_key=f"{KEYS[0]}, {KEYS[1]}"
    )
    assert KEYS[0] not in repr(settings)
    assert settings.services["catalog"].database_url == "postgresql://localhost/catalog"


@pytest.mark.parametrize("value", ["hunter2", f"{KEYS[0]};{KEYS[1]}", f"{KEYS[0]},", KEYS[0][:-2], f"{KEYS[0]}é"])
def test_what_is_no_key_is_not_repeated(value: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings({"AUTH_DATABASE_KEY": value}, PORTS)
    assert str(error.value) == (
        "AUTH_DATABASE_KEY must be keys as `bus database-keys new` prints them, separated by commas, the newest first."
    )


class ShelfSettings(Settings):
    max_tries: Annotated[int, Meta(ge=1, le=10)] = 3
    is_open: bool = True
    label: str = ""
    mail_url: Annotated[str, Meta(pattern="^smtp://"), Secret()] = "smtp://localhost"


def _own(environment: dict[str, str]) -> Settings:
    return read_settings(environment, {"shelf": 5002}, {"shelf": ShelfSettings()}).services["shelf"].own


def test_a_service_has_settings_of_its_own(tmp_path: Path) -> None:
    assert _own({}) == _own({"SHELF_MAX_TRIES": ""}) == ShelfSettings()
    (tmp_path / "url").write_text("smtp://a:b@mail\n")
    environment = {
        "SHELF_MAX_TRIES": "10",
        "SHELF_IS_OPEN": "0",
        "SHELF_LABEL": "10",
        "SHELF_MAIL_URL_FILE": str(tmp_path / "url"),
    }
    assert _own(environment) == ShelfSettings(max_tries=10, is_open=False, label="10", mail_url="smtp://a:b@mail")


def test_errors_of_a_services_own_settings_are_reported_without_secrets() -> None:
    with pytest.raises(SettingsError) as error:
        _own({"SHELF_MAX_TRIES": "11", "SHELF_IS_OPEN": "true", "SHELF_MAIL_URL": "hunter2", "SHELF_LABLE": "x"})
    assert str(error.value).splitlines() == [
        "SHELF_MAX_TRIES: expected whole number, 1 to 10, not '11'.",
        "SHELF_IS_OPEN: expected one of 0, 1, not 'true'.",
        "SHELF_MAIL_URL: expected text, of the pattern ^smtp://.",
        "SHELF_LABLE is set, but is not a setting. Did you mean SHELF_LABEL?",
    ]


def test_an_empty_variable_counts_as_unset() -> None:
    empty = {"BUS_URL": "", "AUTH_PORT": "", "AUTH_METRICS_PORT": "", "AUTH_PORT_FILE": ""}
    assert read_settings(empty, PORTS) == read_settings({}, PORTS)


def test_all_errors_are_reported_at_once_each_with_the_name_of_its_variable() -> None:
    environment = {
        "BUS_URL": "http://localhost",
        "BIND": "everywhere",
        "SEED": "yes",
        "LOG_FORMAT": "pretty",
        "LOG_LEVEL": "loud",
        "AUTH_PORT": "70000",
        "AUTH_METRICS_PORT": "70001",
        "CATALOG_PORT": "http",
        "CATALOG_REQUIRE_SEALED": "always",
        "TRUSTED_PROXIES": "10.0.0.1",
        "AUTH_DATABASE_URL": "mysql://localhost/auth",
        "CATALOG_DATABASE_URL": "catalog.db",
    }
    lines = _errors(environment)
    assert sorted(line.split()[0] for line in lines) == sorted(environment)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "5000.0", "0x50", " ", "five", "+5", "5" * 5000])
def test_an_invalid_port_is_an_error(port: str) -> None:
    assert len(_errors({"AUTH_PORT": port})) == 1


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgresql://localhost:abc/catalog", "must begin with postgresql"),
        ("postgresql", "must begin with postgresql"),
        ("://", "must begin with postgresql"),
        ("sqlite", "must begin with postgresql"),
        ("oracle://x/y", "must begin with postgresql"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///a?b.db", "%3F"),
        ("postgresql://u:s3@cret@h/d", "%40"),
        ("postgresql://u:s3cret@h:70000/d", "from 1 to 65535"),
        ("postgresql://u@h/d?s3cret=1", "does not know"),
        ("postgresql://u:s3cret@h/d\x7f", "control character"),
    ],
)
def test_an_invalid_database_url_is_an_error_that_repeats_nothing_of_it(url: str, fault: str) -> None:
    (line,) = _errors({"CATALOG_DATABASE_URL": url})
    assert line.startswith("CATALOG_DATABASE_URL ")
    assert fault in line
    assert "cret" not in line


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgres://u:a#b/c@h/d", "postgresql://u:a#b/c@h/d"),
        (
            "POSTGRESQL://h/d?prepare_threshold=0&sslmode=require",
            "postgresql://h/d?prepare_threshold=0&sslmode=require",
        ),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:///a b.db", "sqlite:///a b.db"),
    ],
)
def test_a_database_url_is_read_as_it_is_meant(url: str, meant: str) -> None:
    assert read_settings({"CATALOG_DATABASE_URL": url}, PORTS).services["catalog"].database_url == meant


@pytest.mark.parametrize("folder", ["/a b", "/a%20b", "/a%2Fb", "/a?b=c", "/a#b", "/ä:@", "~/a", "~nobody.such/a", "~"])
def test_the_data_folder_may_have_any_name(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    url = read_settings({"DATA_DIR": folder}, PORTS).services["auth"].database_url
    file = str(sqlite_file(url))
    assert file == f"{folder.replace('~/', '/home/ada/')}/auth.db" or (folder, file) == ("~", "/home/ada/auth.db")


@pytest.mark.parametrize("name", ["DATA_DIR", "AUTH_DATABASE_URL"])
def test_a_path_that_no_file_can_have_is_an_error(name: str) -> None:
    for path in ("a" * 300, "a/" * 2500):
        (line,) = _errors({name: f"sqlite:///{path}b" if name == "AUTH_DATABASE_URL" else path})
        assert line.startswith(f"{name} has a name of more than")


@pytest.mark.parametrize(("given", "bind"), [("::1", "::1"), ("[::1]", "::1"), ("0.0.0.0", "0.0.0.0")])
def test_an_address_may_have_the_brackets_of_a_url(given: str, bind: str) -> None:
    assert read_settings({"BIND": given}, PORTS).bind == bind


def test_a_setting_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("amqp://user:secret@localhost/\n")
    assert read_settings({"BUS_URL_FILE": str(tmp_path / "url")}, PORTS).bus_url == "amqp://user:secret@localhost/"


@pytest.mark.parametrize("content", ["\ufeffdebug", "debug\r\n", " debug \n\n"])
def test_what_editors_add_to_a_file_does_not_count(tmp_path: Path, content: str) -> None:
    (tmp_path / "level").write_text(content, encoding="utf-8")
    assert read_settings({"LOG_LEVEL": "", "LOG_LEVEL_FILE": str(tmp_path / "level")}, PORTS).log_level == "debug"


@pytest.mark.parametrize("content", ["", "\n", "a\nb", "a\0b", "a" * 10_000])
def test_a_file_with_anything_but_one_value_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "url").write_text(content)
    (line,) = _errors({"BUS_URL_FILE": str(tmp_path / "url")})
    assert line.startswith("The file in BUS_URL_FILE ")


def test_the_line_end_of_another_system_does_not_count() -> None:
    assert read_settings({"AUTH_PORT": "5005\r"}, PORTS).services["auth"].port == 5005


def test_a_url_given_as_the_name_of_a_file_is_not_repeated() -> None:
    (line,) = _errors({"BUS_URL_FILE": "amqp://u:s3cret@host/"})
    assert line == "BUS_URL_FILE must name a readable text file: No such file or directory."


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
    (line,) = _errors({"AUTH_METRICS_PORT": "5001"})
    assert line.startswith("AUTH_METRICS_PORT and CATALOG_PORT are equal")
    (line,) = _errors({"AUTH_METRICS_PORT": "9100", "CATALOG_METRICS_PORT": "9100"})
    assert line.startswith("AUTH_METRICS_PORT and CATALOG_METRICS_PORT are equal")


def test_a_shared_database_is_an_error() -> None:
    url = "postgresql://localhost/all"
    (line,) = _errors({"AUTH_DATABASE_URL": url, "CATALOG_DATABASE_URL": url})
    assert line.startswith("AUTH_DATABASE_URL and CATALOG_DATABASE_URL are equal")
    assert url not in line


@pytest.mark.parametrize(
    "urls",
    [
        ("postgres://localhost/all", "postgresql+psycopg://u:p@localhost:5432/all"),
        ("postgresql://localhost/all", "postgresql://127.0.0.1/all"),
        ("sqlite:///all.db", f"sqlite:///{Path.cwd()}/all.db"),
        ("sqlite:///data/catalog.db", ""),
    ],
)
def test_a_shared_database_is_an_error_in_whatever_words(urls: tuple[str, str]) -> None:
    (line,) = _errors({"AUTH_DATABASE_URL": urls[0], "CATALOG_DATABASE_URL": urls[1]})
    assert line.startswith("AUTH_DATABASE_URL and CATALOG_DATABASE_URL are equal")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AUTH_DATABSE_URL", "AUTH_DATABASE_URL"),
        ("AUTH_DATABASEURL_FILE", "AUTH_DATABASE_URL_FILE"),
        ("BUS_ULR", "BUS_URL"),
        ("bus_url", "BUS_URL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("CATALOG_METRIC_PORT", "CATALOG_METRICS_PORT"),
    ],
)
def test_a_name_nearly_that_of_a_setting_is_pointed_out(name: str, meant: str) -> None:
    assert read_settings({name: "x"}, PORTS).misspelt == {name: meant}
    assert _errors({name: "x", "SEED": "2"})[1:] == [f"{name} is set, but is not a setting. Did you mean {meant}?"]


def test_other_names_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    kubernetes = ["AUTH_WEB_PORT", "CATALOG_WEB_PORT", "CATALOG_PORT_5001_TCP", "AUTH_SERVICE_PORT", "AUTH_WORKER_PORT"]
    others = ["PATH", "HOME", "DATABASE_URL", "BASE_URL", "BUS_TEST_URL", "OTEL_SERVICE_NAME", "LOGNAME", "FEED_PORT"]
    assert read_settings(dict.fromkeys([*kubernetes, *others, ""], "x"), PORTS).misspelt == {}


def test_a_port_that_kubernetes_has_set_is_an_error_that_says_so() -> None:
    (line,) = _errors({"AUTH_PORT": "tcp://10.0.0.7:5000"})
    assert "enableServiceLinks: false" in line


def _errors(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as error:
        read_settings(environment, PORTS)
    return str(error.value).splitlines()


def test_a_workers_limits_can_be_set() -> None:
    given = {"HANDLER_SECONDS": "2.5", "RETRY_SECONDS": "1,2", "QUEUE_BOUND": "100", "KEEP_DAYS": "30"}
    limits = read_settings(given | {"QUERY_QUEUES": "quorum", "GIVE_UP_HOURS": "100"}, {}).limits
    assert limits == Limits(2.5, (1, 2), queue_bound=100, replicate_queries=True, keep_days=30, give_up_hours=100)
    assert read_settings({}, {}).limits == Limits()


def test_no_command_is_tried_for_longer_than_answers_are_kept() -> None:
    assert read_settings({"KEEP_DAYS": "1"}, {}).limits.give_up_hours == 24
    with pytest.raises(SettingsError, match="GIVE_UP_HOURS must not be longer than KEEP_DAYS"):
        read_settings({"KEEP_DAYS": "1", "GIVE_UP_HOURS": "25"}, {})


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

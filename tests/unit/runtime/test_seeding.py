"""Seeding: an empty system gets its example data, and one that is closed to strangers starts without."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from bus.client.client import Client
from bus.contract.problems import Invalid
from bus.runtime.seeding import seed
from bus.runtime.settings import Settings, read_settings
from bus.testing import RunningServices, Servers, running
from catalog.contract import ListProducts
from catalog.handlers.service import CatalogSettings
from catalog.handlers.service import catalog as service
from catalog.main import application as catalog


@pytest.fixture
def settings() -> Settings:
    return read_settings({"BUS_URL": f"memory://{uuid4().hex}"}, {"catalog": 5001})


@pytest.fixture
def client(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServices]:
    servers = Servers(settings.bus_url, lambda: f"sqlite:///{tmp_path_factory.mktemp('data')}/catalog.db")
    with running(catalog, servers=servers) as client:
        yield client


def test_an_empty_catalog_gets_two_products(settings: Settings, client: RunningServices) -> None:
    for _ in range(2):
        assert seed([catalog], settings, lambda: False)
        assert [each.name for each in client.call(ListProducts()).products] == ["Product A", "Product B"]


@pytest.fixture
def is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "settings", CatalogSettings(open=False))


def test_a_closed_catalog_stays_empty_and_the_start_goes_on(
    settings: Settings, is_closed: None, client: RunningServices
) -> None:
    with capture_logs() as logs:
        assert seed([catalog], settings, lambda: False)
    assert [line["event"] for line in logs if line["event"] == "not_seeded"] == ["not_seeded"]
    assert client.call(ListProducts()).products == []


@pytest.mark.parametrize(
    ("error", "level"),
    [(ValueError("a bug"), "error"), (Invalid("wrong-type", 422, "Invalid request", "no"), "warning")],
)
def test_a_service_that_cannot_be_filled_stays_empty_and_the_others_are_filled(
    settings: Settings, client: RunningServices, error: Exception, level: str
) -> None:
    def fail(_client: Client) -> None:
        raise error

    with capture_logs() as logs:
        assert seed([replace(catalog, seed=fail), catalog], settings, lambda: False)
    assert [line["log_level"] for line in logs if line["event"] == "not_seeded"] == [level]
    assert len(client.call(ListProducts()).products) == 2

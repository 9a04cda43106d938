"""The service that the handlers of the catalog register with, and its settings."""

from typing import Annotated, cast

from msgspec import Meta

from bus import MayBeOpen, RuleViolation, Service
from catalog.domain import money


class CurrencyCode:
    """A code of ISO 4217."""

    def check(self, value: str) -> None:
        """Raises RuleViolation."""
        if value not in money.PLACES_OF:
            raise RuleViolation("out-of-range", f"expected the code of a currency (ISO 4217) such as EUR, not {value}.")


class CatalogSettings(MayBeOpen):
    """With `CATALOG_OPEN=1`, as for a first look, everyone may change products, stock and reservations.

    `require_if_match` refuses changes that do not name the version they are meant for. `currency` is that of all
    prices; without one they have two places. A deleted product can be restored for `keep_deleted_days`.
    """

    require_if_match: bool = False
    currency: Annotated[str, CurrencyCode()] = ""
    keep_deleted_days: Annotated[int, Meta(ge=0, le=36_500)] = 30


catalog = Service("catalog", settings=CatalogSettings)


def settings() -> CatalogSettings:
    """The settings, as the environment has them."""
    return cast(CatalogSettings, catalog.settings)


money.in_currency(lambda: settings().currency)

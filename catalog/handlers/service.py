"""The service that the handlers of the catalog register with, and its settings."""

from typing import cast

from bus import MayBeOpen, Service


class CatalogSettings(MayBeOpen):
    """With `CATALOG_OPEN=1`, as for a first look, everyone may change products, stock and reservations.

    `require_if_match` refuses changes that do not name the version they are meant for.
    """

    require_if_match: bool = False


catalog = Service("catalog", settings=CatalogSettings)


def settings() -> CatalogSettings:
    """The settings, as the environment has them."""
    return cast(CatalogSettings, catalog.settings)

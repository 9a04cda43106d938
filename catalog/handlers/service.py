"""The service that the handlers of the catalog register with."""

from bus import MayBeOpen, Service


class CatalogSettings(MayBeOpen):
    """With `CATALOG_OPEN=1`, as for a first look, everyone may change products, stock and reservations."""


catalog = Service("catalog", settings=CatalogSettings)

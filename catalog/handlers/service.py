"""The service that the handlers of the catalog register with."""

from bus import Service

catalog = Service("catalog")

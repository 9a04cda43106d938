"""Documents of a contract: OpenAPI for its routes, AsyncAPI for its queues and events. Made from the classes alone."""

from bus.http.documents.asyncapi import asyncapi
from bus.http.documents.description import as_text
from bus.http.documents.openapi import openapi

__all__ = ["as_text", "asyncapi", "openapi"]

"""Documents of a contract: OpenAPI for its routes, AsyncAPI for its queues and events. Made from the classes alone.

`openapi` and `asyncapi` make a document, `as_text` writes it. `openapi_*.py` and `asyncapi_messages.py` make its parts;
`schemas.py` and `examples.py` describe the classes. `breaking_changes.py` compares two versions of the documents, and
`schema_diff.py` two schemas.

Nothing here uses Flask or connects to anything. The views, the pages and `bus contract` import it.

Start at `openapi.py`.
"""

from bus.http.documents.asyncapi import asyncapi
from bus.http.documents.description import as_text
from bus.http.documents.openapi import openapi

__all__ = ["as_text", "asyncapi", "openapi"]

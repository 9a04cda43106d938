"""Files in OpenAPI: paths that answer with a whole list."""

from typing import Any

from bus.contract.pages import PageQuery, fields_of_file
from bus.contract.routes import Route
from bus.http.documents.openapi_operation import parameter, problem_responses, response
from bus.http.documents.openapi_problems import problems_over_http
from bus.http.documents.schemas import Schemas

_DISPOSITION = {"description": "The name of the file (RFC 6266).", "schema": {"type": "string"}}


def file_paths(operation: type[PageQuery[Any]], route: Route, schemas: Schemas) -> dict[str, Any]:
    """The paths of the files of a list."""
    whole = schemas.whole(operation)
    parameters = [parameter(name, "query", whole) for name in fields_of_file(operation)]
    # No caller asks for a page of it, or has to show who it is.
    codes = {status: each for status, each in problems_over_http(operation, route).items() if status not in (401, 403)}
    problems = problem_responses(schemas, codes, operation.refusals.values())
    return {
        path: {
            "get": {
                "operationId": f"{operation.operation_name}.{path.rpartition('.')[2]}",
                "summary": f"The whole list of `{operation.operation_name}`, as a file.",
                "parameters": parameters,
                "responses": {
                    "200": response("The file.", {"type": "string"}, kind, {"Content-Disposition": _DISPOSITION}),
                    **problems,
                },
            }
        }
        for path, kind in operation.files.items()
    }

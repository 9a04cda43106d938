"""A collector that receives spans from OpenTelemetry's exporters (OTLP over HTTP), for tests to inspect."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class CollectedSpan(NamedTuple):
    """A span as it was received. `kind` is OTLP's number: 1 internal, 2 server, 4 producer, 5 consumer."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    begun_ns: int
    ended_ns: int
    is_error: bool
    attributes: dict[str, object]


class Collector:
    """Collects what is posted to /v1/traces of `url`, and appends it as it came to a file, if there is one."""

    def __init__(self, file: Path | None = None) -> None:
        self.spans: list[CollectedSpan] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
                if file is not None:
                    with file.open("ab") as whole:
                        whole.write(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
                    self.spans.append(
                        CollectedSpan(
                            attributes["service.name"],
                            span.name,
                            span.kind,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.trace_state,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.status.code == 2,
                            values,
                        )
                    )

    def named(self, name: str) -> CollectedSpan:
        """The only span of this name."""
        [found] = [span for span in self.spans if span.name == name]
        return found


@contextmanager
def collecting(file: Path | None = None) -> Iterator[Collector]:
    """Run a collector until the block ends."""
    collector = Collector(file)
    thread = threading.Thread(target=collector.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()

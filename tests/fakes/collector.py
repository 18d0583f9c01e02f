"""An OpenTelemetry collector on a free port: it keeps the spans that it is sent over HTTP."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """`with Collector() as collector`: `collector.url` takes spans, `spans()` gives them back."""

    def __enter__(self) -> Collector:
        self._kept = []
        self.resources = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep what came."""
        for resource in request.resource_spans:
            self.resources |= read(resource.resource.attributes)
            for scope in resource.scope_spans:
                self._kept.extend(scope.spans)

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def spans(self) -> list[dict]:
        """All spans so far: name, ids, attributes, whether it failed, its time."""
        return [
            {
                "name": span.name,
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "kind": span.kind,
                "failed": span.status.code == 2,
                "attributes": read(span.attributes),
                "from_ns": span.start_time_unix_nano,
                "to_ns": span.end_time_unix_nano,
            }
            for span in list(self._kept)
        ]


def read(attributes) -> dict:
    """Attributes as a dictionary."""
    return {one.key: value(one.value) for one in attributes}


def value(one):
    kind = one.WhichOneof("value")
    if kind == "array_value":
        return [value(inner) for inner in one.array_value.values]
    return getattr(one, kind)

"""A tiny real server of one operation, GetMLTransform, for what asks it; the project's own has its own tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def serve_transforms(transforms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Answer for `transforms`, MLTransform structures by id, until the block ends; gives the endpoint's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = _answer(self.headers["X-Amz-Target"], request, transforms)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def describe_transform(transform_id: str, columns: Mapping[str, str], *, key: str, **members: Any) -> dict[str, Any]:
    """An MLTransform that is ready; no tradeoff of accuracy and cost was ever set."""
    parameters = {"PrimaryKeyColumnName": key, "PrecisionRecallTradeoff": 0.5, "EnforceProvidedLabels": False}
    return {
        "TransformId": transform_id,
        "Status": "READY",
        "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": parameters},
        "Schema": [{"Name": name, "DataType": kind} for name, kind in columns.items()],
        **members,
    }


def _answer(
    target: str, request: Mapping[str, Any], transforms: Mapping[str, Mapping[str, Any]]
) -> tuple[int, Mapping[str, Any]]:
    if target != "AWSGlue.GetMLTransform":
        return 400, {"__type": "UnknownOperationException", "Message": target}
    found = transforms.get(request["TransformId"])
    if found is None:
        return 400, {"__type": "EntityNotFoundException", "Message": "MLTransform not found"}
    return 200, found

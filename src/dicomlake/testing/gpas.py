"""A gPAS behind its TTP-FHIR gateway, on loopback, for tests."""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Gpas:
    """A gateway that listens as long as the block runs.

    `given`: pseudonyms by domain and original; `asked`: originals of each request; `status`: what
    it answers in place of 200; `token`: what callers must send.
    """

    def __init__(self, *domains: str, token: str = "") -> None:
        self.domains, self.token, self.status = domains, token, 200
        self.given: dict[tuple[str, str], str] = {}
        self.asked: list[Counter[str]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_port}/ttp-fhir/fhir/gpas"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and resource of an answer."""
        if self.status != 200:
            return self.status, {"resourceType": "OperationOutcome"}
        if self.token and token != f"Bearer {self.token}":
            return 401, {"resourceType": "OperationOutcome"}
        operation = path.removeprefix("/ttp-fhir/fhir/gpas/")
        if operation not in ("$pseudonymizeAllowCreate", "$dePseudonymize"):
            return 404, {"resourceType": "OperationOutcome"}
        said = json.loads(body).get("parameter", [])
        targets = [one["valueString"] for one in said if one["name"] == "target"]
        back = operation == "$dePseudonymize"
        wanted = "pseudonym" if back else "original"
        originals = [one["valueString"] for one in said if one["name"] == wanted]
        if len(targets) != 1 or not originals:
            return 400, {"resourceType": "OperationOutcome"}
        if targets[0] not in self.domains:
            return 404, {"resourceType": "OperationOutcome"}
        with self._lock:
            self.asked.append(Counter(originals))
            if back:
                found = self._back(targets[0], originals)
                return 200, {"resourceType": "Parameters", "parameter": found}
            found = [self._one(targets[0], original) for original in originals]
        return 200, {"resourceType": "Parameters", "parameter": found}

    def _back(self, domain: str, pseudonyms: list[str]) -> list[dict[str, Any]]:
        known = {p: original for (of, original), p in self.given.items() if of == domain}
        return [self._said(domain, known[p], p) for p in pseudonyms if p in known]

    def _one(self, domain: str, original: str) -> dict[str, Any]:
        pseudonym = self.given.setdefault((domain, original), f"psn-{secrets.token_hex(6)}")
        return self._said(domain, original, pseudonym)

    def _said(self, domain: str, original: str, pseudonym: str) -> dict[str, Any]:
        values = {"original": original, "target": domain, "pseudonym": pseudonym}
        system = "https://ths-greifswald.de/gpas"
        parts = [
            {"name": name, "valueIdentifier": {"system": system, "value": value}}
            for name, value in values.items()
        ]
        return {"name": "pseudonym", "part": parts}


def _handler(gpas: Gpas) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers for a gateway."""

        def do_POST(self) -> None:
            """Answer what is in the body."""
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("authorization", "")
            status, resource = gpas.answer(self.path, token, body)
            content = json.dumps(resource).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler

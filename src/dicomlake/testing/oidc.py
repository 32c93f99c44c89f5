"""A small OpenID Connect issuer on loopback, for tests: real keys, real signatures, no password.

Whoever is sent to it is let in at once as `user`. It checks what an issuer has to check: client,
secret, address to come back to, PKCE, and that a code is used once (RFC 6749, RFC 7636).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

LASTS_S = 300


class Issuer:
    """An issuer that listens as long as the block runs.

    `user`: claims of who is let in; `asked`: how often each path was asked for; `nonce`: what it
    says in place of the one it was told; `up`: whether it answers.
    """

    def __init__(self, client: str = "dicomlake", secret: str = "") -> None:
        self.client, self.secret = client, secret
        self.user: dict[str, Any] = {"sub": "u1", "preferred_username": "ann", "groups": ["lake"]}
        self.asked: Counter[str] = Counter()
        self.nonce: str | None = None
        self.up = True
        self.keys: list[RSAKey | ECKey] = [_rsa()]
        self._codes: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def rotate(self, kind: str = "RS256", *, keep: bool = False) -> None:
        """Sign with a new key from now on; `keep`: tokens of the ones before stay good."""
        made = _rsa() if kind == "RS256" else ECKey.generate_key("P-256", _named())
        self.keys = [made, *(self.keys if keep else [])]

    def token(self, *, key: RSAKey | ECKey | None = None, **claims: Any) -> str:
        """A signed token of the user; claims replace the usual ones, `...` leaves one out."""
        signer = key or self.keys[0]
        algorithm = "RS256" if isinstance(signer, RSAKey) else "ES256"
        now = int(time.time())
        usual = {"iss": self.address, "aud": self.client, "iat": now, "exp": now + LASTS_S}
        said = {**usual, **self.user, **claims}
        head = {"alg": algorithm, "kid": signer.get("kid")}
        return jwt.encode(
            head, {name: value for name, value in said.items() if value is not ...}, signer
        )

    # What it answers

    def answer(self, method: str, path: str, said: dict[str, str]) -> tuple[int, dict[str, str]]:
        """Status and members of an answer; one with `location` goes on there."""
        self.asked[path] += 1
        if not self.up:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            there = {name: f"{self.address}{where}" for name, where in _PLACES.items()}
            return 200, {"issuer": self.address, **there}
        if path == "/jwks":
            keys = [key.as_dict(private=False) for key in self.keys]
            return 200, {"keys": keys}  # type: ignore[dict-item]
        if path == "/authorize":
            return self._authorized(said)
        if path == "/token" and method == "POST":
            return self._exchanged(said)
        return 404, {}

    def _authorized(self, said: dict[str, str]) -> tuple[int, dict[str, str]]:
        good = said.get("client_id") == self.client and said.get("response_type") == "code"
        if not (good and said.get("code_challenge_method") == "S256" and "redirect_uri" in said):
            return 400, {"error": "invalid_request"}
        code = secrets.token_urlsafe(16)
        self._codes[code] = said
        back = urlencode({"code": code, "state": said.get("state", "")})
        return 302, {"location": f"{said['redirect_uri']}?{back}"}

    def _exchanged(self, said: dict[str, str]) -> tuple[int, dict[str, str]]:
        asked = self._codes.pop(said.get("code", ""), None)
        digest = hashlib.sha256(said.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != proof:
            return 400, {"error": "invalid_grant"}
        if (
            said.get("redirect_uri") != asked["redirect_uri"]
            or said.get("client_id") != self.client
        ):
            return 400, {"error": "invalid_grant"}
        if self.secret and said.get("client_secret") != self.secret:
            return 401, {"error": "invalid_client"}
        nonce = asked.get("nonce", "") if self.nonce is None else self.nonce
        token = self.token(nonce=nonce)
        return 200, {"id_token": token, "access_token": "none", "token_type": "Bearer"}


_PLACES = {
    "jwks_uri": "/jwks",
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
}


def _rsa() -> RSAKey:
    return RSAKey.generate_key(2048, _named())


def _named() -> Any:
    return {"kid": secrets.token_hex(4), "use": "sig"}


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers for an issuer."""

        def do_GET(self) -> None:
            """Answer what is in the address."""
            parts = urlsplit(self.path)
            self._answer(parts.path, parts.query)

        def do_POST(self) -> None:
            """Answer what is in the body."""
            length = int(self.headers.get("content-length", 0))
            self._answer(urlsplit(self.path).path, self.rfile.read(length).decode())

        def _answer(self, path: str, query: str) -> None:
            said = {name: values[0] for name, values in parse_qs(query).items()}
            status, told = issuer.answer(self.command, path, said)
            body = json.dumps(told).encode()
            self.send_response(status)
            if "location" in told:
                self.send_header("Location", told["location"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler

"""Signing in with OpenID Connect: bearer tokens of an issuer, and browsers by code and PKCE.

Discovery and keys are kept and asked again when they are old, or a token names a key that is not
known (OpenID Connect Core 1.0, Discovery 1.0; RFC 7636, RFC 8725).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jwt import JWTClaimsRegistry

from dicomlake.errors import NotAllowed, ServiceError, UsageError
from dicomlake.jobs.access.roles import Role, Who
from dicomlake.settings import Oidc

ALGORITHMS = ("RS256", "ES256")
"""With which tokens may be signed; nothing else, and never what a token asks for."""
LEEWAY_S = 60
KEEP_S = 3600.0
"""How long what the issuer says is believed without asking again."""
ASK_AGAIN_S = 10.0
"""How often unknown keys may make us ask."""
PENDING_S = 600.0
"""How long signing in may take."""
_MOST_PENDING = 10_000
_MOST_BYTES = 1_000_000
_RANK = (Role.admin, Role.steward, Role.researcher, Role.viewer, Role.partner)


@dataclass(frozen=True, slots=True)
class Pending:
    """Somebody who was sent to the issuer and is not back yet."""

    nonce: str
    verifier: str
    binding: str
    after: str
    back: str
    ends: float


class Provider:
    """An issuer; used by many threads. `http`: what asks it, for tests and proxies."""

    def __init__(self, settings: Oidc, http: httpx.Client | None = None) -> None:
        self.settings = settings
        self._secret = settings.client_secret()
        self._http = http or httpx.Client(timeout=10.0, follow_redirects=False)
        self._told: tuple[float, dict[str, Any]] = (-KEEP_S, {})
        self._keys: tuple[float, list[RSAKey | ECKey]] = (-KEEP_S, [])
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._lock = threading.RLock()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    # Tokens

    def bearer(self, token: str) -> Who:
        """Whom a bearer token stands for; UsageError when it is not good."""
        audience = self.settings.audience or self.settings.client_id
        return self._who(self._claims(token, audience))

    def _claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token of ours; UsageError without any detail when it is not good."""
        try:
            header = jws.extract_compact(token.encode()).headers()
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or (kid is not None and not isinstance(kid, str)):
                raise UsageError("The token is signed in a way that is not accepted.")
            claims = self._verified(token, str(algorithm), kid)
            rules = JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self.settings.issuer},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                sub={"essential": True},
            )
            rules.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise UsageError("The token is not good, or not any more.") from error
        return claims

    def _verified(self, token: str, algorithm: str, kid: str | None) -> dict[str, Any]:
        for key in self._fitting(algorithm, kid):
            try:
                return dict(jwt.decode(token, key, algorithms=[algorithm]).claims)
            except JoseError:
                continue
        raise UsageError("No key of the issuer has signed the token.")

    def _fitting(self, algorithm: str, kid: str | None) -> Iterator[RSAKey | ECKey]:
        """Keys that may have signed a token; asked anew when none is known by its name."""
        kind = RSAKey if algorithm == "RS256" else ECKey
        for again in (False, True):
            keys = self._signers(again=again)
            found = [k for k in keys if isinstance(k, kind) and kid in (None, k.get("kid"))]
            if found:
                yield from found
                return

    def _signers(self, *, again: bool) -> list[RSAKey | ECKey]:
        with self._lock:
            asked, keys = self._keys
            age = time.monotonic() - asked
            if age > KEEP_S or (again and age > ASK_AGAIN_S):
                told = self._get(str(self._discovered()["jwks_uri"]))
                found = KeySet.import_key_set({"keys": _usable(told)}).keys
                keys = [key for key in found if isinstance(key, RSAKey | ECKey)]
                self._keys = (time.monotonic(), keys)
            return keys

    def _who(self, claims: Mapping[str, Any]) -> Who:
        told = claims.get(self.settings.claim, ())
        groups = [told] if isinstance(told, str) else list(told) if isinstance(told, list) else []
        said = [str(group) for group in groups]
        roles = {Role(self.settings.roles[group]) for group in said if group in self.settings.roles}
        role = next((rank for rank in _RANK if rank in roles), None)
        if role is None:
            raise NotAllowed(
                "Your account has no role here. Ask a steward of the lake to give it one."
            )
        projects = tuple(name for group, name in self.settings.projects.items() if group in said)
        if role is Role.researcher and not projects:
            raise NotAllowed(
                "Your account has no project here. Ask a steward of the lake to add it to one."
            )
        name = claims.get(self.settings.name) or claims["sub"]
        return Who(
            str(name)[:200], role, projects[0] if projects else "", f"oidc {claims['sub']}"[:200],
            projects,
        )  # fmt: skip

    # Browsers

    def begin(self, back: str, after: str) -> tuple[str, str]:
        """Where to send a browser, and the text of a cookie that binds its return to it."""
        state, binding = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        there = str(self._discovered()["authorization_endpoint"])
        with self._lock:
            self._pending[state] = Pending(
                nonce, verifier, binding, after, back, time.monotonic() + PENDING_S
            )
            while len(self._pending) > _MOST_PENDING:
                self._pending.popitem(last=False)
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}", binding

    def finish(self, state: str, code: str, binding: str) -> tuple[Who, str]:
        """Who came back with a code, and where to go then; UsageError when nobody was sent."""
        with self._lock:
            pending = self._pending.pop(state, None)
        if (
            pending is None
            or pending.ends < time.monotonic()
            or not secrets.compare_digest(pending.binding.encode(), binding.encode())
        ):
            raise UsageError("Signing in took too long, or began in another browser. Begin again.")
        claims = self._claims(self._exchanged(code, pending), self.settings.client_id)
        if not secrets.compare_digest(
            str(claims.get("nonce", "")).encode(), pending.nonce.encode()
        ):
            raise UsageError("The issuer answered another question than ours. Begin again.")
        return self._who(claims), pending.after

    def _exchanged(self, code: str, pending: Pending) -> str:
        """The ID token that a code stands for."""
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.back,
            "client_id": self.settings.client_id,
            "code_verifier": pending.verifier,
        }
        if self._secret:
            asked["client_secret"] = self._secret
        there = str(self._discovered()["token_endpoint"])
        told = self._asked(lambda: self._http.post(there, data=asked))
        token = told.get("id_token")
        if not isinstance(token, str):
            raise UsageError("The issuer did not say who came back. Begin again.")
        return token

    # What the issuer says of itself

    def _discovered(self) -> dict[str, Any]:
        with self._lock:
            asked, told = self._told
            if time.monotonic() - asked > KEEP_S:
                base = self.settings.issuer.rstrip("/")
                told = self._get(f"{base}/.well-known/openid-configuration")
                needs = ("jwks_uri", "authorization_endpoint", "token_endpoint")
                if told.get("issuer") != self.settings.issuer or not told.keys() >= set(needs):
                    raise ServiceError(
                        "The OpenID Connect issuer calls itself otherwise than the settings do. "
                        "Write issuer as its discovery document does."
                    )
                self._told = (time.monotonic(), told)
            return told

    def _get(self, address: str) -> dict[str, Any]:
        return self._asked(lambda: self._http.get(address))

    def _asked(self, ask: Any) -> dict[str, Any]:
        """What the issuer answers; ServiceError when it does not answer well."""
        try:
            answer: httpx.Response = ask()
            if 400 <= answer.status_code < 500:
                raise UsageError("The issuer refused it. Begin again.")
            answer.raise_for_status()
            told = answer.json() if len(answer.content) <= _MOST_BYTES else None
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceError(
                "The OpenID Connect issuer does not answer as it should. Try again in a moment."
            ) from error
        if not isinstance(told, dict):
            raise ServiceError("The OpenID Connect issuer answers something else than JSON.")
        return told


def _usable(told: Mapping[str, Any]) -> list[Any]:
    """Keys for signatures that we could use; an issuer may have others, too."""
    keys = told.get("keys")
    if not isinstance(keys, list):
        raise ServiceError("The OpenID Connect issuer names no keys.")
    return [
        key
        for key in keys
        if isinstance(key, dict)
        and key.get("kty") in ("RSA", "EC")
        and key.get("use", "sig") == "sig"
        and key.get("crv", "P-256") == "P-256"
    ]

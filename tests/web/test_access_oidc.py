"""Signing in with accounts of an issuer, against a real one on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.access.audit import Audit
from dicomlake.settings import AccessSettings, Oidc, Project, Service, Settings
from dicomlake.testing.oidc import Issuer
from dicomlake.web.access import oidc
from dicomlake.web.access.oidc import Provider

from .guarded import PROJECTS
from .serving import served

ROLES: dict[str, Any] = {"lake": "viewer", "researchers": "researcher", "boss": "admin"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake without anything."""
    from dicomlake.lake import Store

    return Store.create(tmp_path_factory.mktemp("oidc") / "lake").path


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as made:
        yield made


def of(issuer: Issuer, **more: Any) -> Oidc:
    return Oidc(
        issuer=issuer.address, client_id="dicomlake", roles=ROLES,
        projects={"cardio": "open", "neuro": "all"}, **more,
    )  # fmt: skip


@pytest.fixture
def provider(issuer: Issuer) -> Iterator[Provider]:
    made = Provider(of(issuer))
    yield made
    made.close()


def settings(issuer: Issuer, **more: Any) -> Settings:
    access = AccessSettings(oidc=of(issuer, **more))
    return Settings(service=Service(access=access), project=PROJECTS)


# Bearer tokens


def test_a_good_token_says_who(issuer: Issuer, provider: Provider) -> None:
    who = provider.bearer(issuer.token())
    assert (who.name, who.role, who.project, who.how) == ("ann", "viewer", "", "oidc u1")
    assert provider.bearer(issuer.token(aud=["other", "dicomlake"])).name == "ann"
    issuer.rotate("ES256", keep=True)
    oidc_age(provider)
    assert provider.bearer(issuer.token()).name == "ann"
    assert provider.bearer(issuer.token(key=issuer.keys[1])).name == "ann"


def oidc_age(provider: Provider) -> None:
    """Let the keys be as old as they have to be to be asked for again."""
    asked, keys = provider._keys
    provider._keys = (asked - oidc.ASK_AGAIN_S - 1, keys)


def _part(told: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def unsigned(issuer: Issuer, algorithm: str = "none") -> str:
    claims = issuer.token().split(".")[1]
    return f"{_part({'alg': algorithm, 'kid': issuer.keys[0].get('kid')})}.{claims}."


def with_public_key(issuer: Issuer, form: str) -> str:
    """A token signed with HS256 whose secret is the public key, as a confused check would take."""
    key = issuer.keys[0]
    secret = (
        key.as_pem(private=False) if form == "pem"
        else json.dumps(key.as_dict(private=False)).encode()
    )  # fmt: skip
    claims = issuer.token().split(".")[1]
    signed = f"{_part({'alg': 'HS256', 'kid': key.get('kid')})}.{claims}"
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def changed(issuer: Issuer) -> str:
    """A good token whose claims were changed."""
    head, claims, signature = issuer.token().split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return f"{head}.{_part({**told, 'groups': ['boss']})}.{signature}"


def own_key(issuer: Issuer) -> str:
    """A token signed by a stranger, who says so in the head."""
    key = RSAKey.generate_key(2048, {"kid": str(issuer.keys[0].get("kid"))})
    return issuer.token(key=key)


def embedded(issuer: Issuer) -> str:
    """A token that brings the key along that it is to be checked with."""
    from joserfc import jwt

    key = RSAKey.generate_key(2048)
    claims = {"iss": issuer.address, "aud": "dicomlake", "exp": time.time() + 99, **issuer.user}
    return jwt.encode({"alg": "RS256", "jwk": key.as_dict(private=False)}, claims, key)


BAD: dict[str, Any] = {
    "wrong signature": lambda i: i.token()[:-6] + "AAAAAA",
    "changed claims": changed,
    "a stranger's key": own_key,
    "key in the head": embedded,
    "none": unsigned,
    "None": lambda i: unsigned(i, "None"),
    "HS256 with the public key": lambda i: with_public_key(i, "pem"),
    "HS256 with the public JWK": lambda i: with_public_key(i, "jwk"),
    "RS384": lambda i: unsigned(i, "RS384"),
    "expired": lambda i: i.token(exp=int(time.time()) - 3600),
    "no end": lambda i: i.token(exp=...),
    "not yet": lambda i: i.token(nbf=int(time.time()) + 3600),
    "other audience": lambda i: i.token(aud="other"),
    "no audience": lambda i: i.token(aud=...),
    "other issuer": lambda i: i.token(iss="https://evil.example"),
    "no issuer": lambda i: i.token(iss=...),
    "no subject": lambda i: i.token(sub=...),
    "no role": lambda i: i.token(groups=["strangers"]),
    "groups of a strange kind": lambda i: i.token(groups={"lake": True}),
    "a researcher without a project": lambda i: i.token(groups=["researchers"]),
    "no token": lambda _: "a.b.c",
    "dots": lambda _: "..",
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_token_says_nobody(issuer: Issuer, provider: Provider, how: str) -> None:
    with pytest.raises(UsageError):
        provider.bearer(BAD[how](issuer))


def test_the_highest_role_and_the_first_project_count(issuer: Issuer, provider: Provider) -> None:
    who = provider.bearer(issuer.token(groups=["lake", "neuro", "researchers", "cardio"]))
    assert (who.role, who.project, who.projects) == ("researcher", "open", ("open", "all"))
    assert provider.bearer(issuer.token(groups="boss")).role == "admin"


def test_keys_that_rotate_are_asked_for_again_but_not_all_the_time(
    issuer: Issuer, provider: Provider
) -> None:
    old = issuer.token()
    assert provider.bearer(old).name == "ann"
    for _ in range(5):
        assert provider.bearer(old).name == "ann"
    assert issuer.asked["/jwks"] == 1
    issuer.rotate()
    oidc_age(provider)
    assert provider.bearer(issuer.token()).name == "ann"
    with pytest.raises(UsageError):
        provider.bearer(old)
    for _ in range(5):  # names that nobody knows do not make us ask each time
        with pytest.raises(UsageError):
            provider.bearer(issuer.token(key=RSAKey.generate_key(2048, {"kid": "x"})))
    assert issuer.asked["/jwks"] == 2
    assert issuer.asked["/.well-known/openid-configuration"] == 1


def test_an_issuer_that_is_away_or_another_one(issuer: Issuer, provider: Provider) -> None:
    issuer.up = False
    with pytest.raises(ServiceError):
        provider.bearer(issuer.token())
    issuer.up = True
    other = Provider(of(issuer).model_copy(update={"issuer": issuer.address + "/"}))
    with pytest.raises(ServiceError, match="calls itself"):
        other.bearer(issuer.token())
    other.close()


@pytest.mark.parametrize("address", ["http://issuer.example", "ftp://x", "issuer", ""])
def test_an_issuer_without_tls_is_a_mistake(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Oidc(issuer=address, client_id="x")


# Browsers


@contextmanager
def signed_in(base: str) -> Iterator[httpx.Client]:
    """A browser that goes where it is sent until it is back."""
    with httpx.Client(base_url=base, follow_redirects=True) as browser:
        browser.get("/api/login/start", params={"after": "/charts?q=1"})
        yield browser


def test_a_browser_signs_in_and_out(issuer: Issuer, empty: Path) -> None:
    issuer.user["groups"] = ["researchers", "cardio", "neuro"]
    with served(empty, settings(issuer)) as base:
        assert httpx.get(f"{base}/api/lake").status_code == 401
        ways = httpx.get(f"{base}/api/me").json()["ways"]
        assert ways == {"token": True, "oidc": "single sign-on"}
        with signed_in(base) as browser:
            me = browser.get("/api/me").json()
            assert (me["name"], me["role"], me["project"]) == ("ann", "researcher", "open")
            assert me["projects"] == ["open", "all"]
            assert browser.get("/api/lake").status_code == 200
            chosen = {"project": "all"}
            own = {"origin": base}
            answer = browser.post("/api/me/project", json=chosen, headers=own)
            assert answer.json()["title"] == "Everything"
            assert browser.get("/api/me").json()["project"] == "all"
            wrong = browser.post("/api/me/project", json={"project": "x"}, headers=own)
            assert wrong.status_code == 403
            assert browser.get("/api/lake", headers={"x-project": "x"}).status_code == 403
            browser.post("/api/logout", headers=own)
            assert browser.get("/api/lake").status_code == 401
        token = issuer.token(groups=["boss"])
        answer = httpx.get(f"{base}/api/audit", headers={"authorization": f"Bearer {token}"})
        told = [(one["what"], one["name"]) for one in answer.json()["lines"]]
        assert ("sign in", "ann") in told
        assert ("sign out", "ann") in told
        assert "code=" not in answer.text
        assert token not in Audit.of(empty).path.read_text()


def test_coming_back_goes_to_the_page_and_nowhere_else(issuer: Issuer, empty: Path) -> None:
    with served(empty, settings(issuer)) as base:
        for after, expected in (
            ("/charts?q=1", "/charts?q=1"), ("https://evil.example/", "/"), ("//evil.example", "/"),
            ("/\\evil.example", "/"), ("javascript:alert(1)", "/"), ("/a\r\nSet-Cookie: x=1", "/"),
            ("/api/logout", "/"),
        ):  # fmt: skip
            with httpx.Client(base_url=base) as browser:
                there = browser.get("/api/login/start", params={"after": after}).headers["location"]
                back = httpx.get(there).headers["location"]
                done = browser.get(back)
                assert (done.status_code, done.headers["location"]) == (302, expected)


@pytest.mark.parametrize(
    "spoil",
    ["other state", "no state", "other browser", "used code", "other nonce", "an error", "twice"],
)
def test_what_does_not_fit_lets_nobody_in(issuer: Issuer, empty: Path, spoil: str) -> None:
    with served(empty, settings(issuer)) as base, httpx.Client(base_url=base) as browser:
        there = browser.get("/api/login/start").headers["location"]
        asked = {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
        assert asked["code_challenge_method"] == "S256"
        if spoil == "other nonce":
            issuer.nonce = "another"
        back = httpx.get(there).headers["location"]
        if spoil == "other state":
            back = back.replace(asked["state"], "x" * 43)
        if spoil == "no state":
            back = back.partition("&state")[0]
        if spoil == "an error":
            back = f"{base}/api/login/done?state={asked['state']}&error=access_denied"
        if spoil == "used code":
            code = parse_qs(urlsplit(back).query)["code"][0]
            httpx.post(f"{issuer.address}/token", data={"code": code})
        if spoil == "twice":
            assert browser.get(back).status_code == 302
            browser.cookies.delete("dicomlake")
        answer = httpx.get(back) if spoil == "other browser" else browser.get(back)
        assert answer.status_code == 401, answer.text
        assert "begin" in answer.json()["detail"].lower()
        assert browser.get("/api/lake").status_code == 401


def test_who_has_no_role_is_told_so(issuer: Issuer, empty: Path) -> None:
    issuer.user["groups"] = []
    with served(empty, settings(issuer)) as base, httpx.Client(base_url=base) as browser:
        there = browser.get("/api/login/start").headers["location"]
        answer = browser.get(httpx.get(there).headers["location"])
        assert (answer.status_code, "no role" in answer.json()["detail"]) == (403, True)


def test_a_client_with_a_secret(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    with Issuer(secret="s3cret") as issuer:
        good = settings(issuer, client_secret_file=tmp_path / "secret")
        with served(empty, good) as base, signed_in(base) as browser:
            assert browser.get("/api/lake").status_code == 200
        with served(empty, settings(issuer)) as base, signed_in(base) as browser:
            assert browser.get("/api/lake").status_code == 401


def test_behind_a_proxy_with_tls_the_address_of_the_settings_is_come_back_to(
    issuer: Issuer, empty: Path
) -> None:
    made = settings(issuer)
    service = made.service.model_copy(update={"url": "https://lake.example/"})
    with served(empty, made.model_copy(update={"service": service})) as base:
        answer = httpx.get(f"{base}/api/login/start")
        asked = parse_qs(urlsplit(answer.headers["location"]).query)
        assert asked["redirect_uri"] == ["https://lake.example/api/login/done"]
        assert "Secure" in answer.headers["set-cookie"]


def test_without_an_issuer_there_are_no_accounts(empty: Path) -> None:
    with served(empty, Settings(project={"x": Project()})) as base:
        assert httpx.get(f"{base}/api/login/start").status_code == 404
        assert httpx.get(f"{base}/api/login/done?code=x").status_code == 404

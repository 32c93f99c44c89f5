"""Pseudonyms of a gPAS, asked through its TTP-FHIR gateway (`$pseudonymizeAllowCreate`).

Patients and, where the settings name a domain for them, accession numbers are asked for; what has
no domain gets a pseudonym by our key. Answers are remembered as long as the program runs, and in
`cache_file` if the settings name one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from dicomlake.contracts import http
from dicomlake.contracts.pseudonyms import ACCESSION, PATIENT, Original
from dicomlake.errors import Refused, UsageError
from dicomlake.pseudonyms.local import LocalPseudonyms
from dicomlake.pseudonyms.remembered import Remembered
from dicomlake.settings import Pseudonyms as Settings

if TYPE_CHECKING:
    import httpx

MEDIA = "application/fhir+json"
MOST = 500
"""Originals that are asked for at a time."""
_MOST_HELD = 1_000_000
_BUSY = frozenset([408, 425, 429, 500, 502, 503, 504])


class GpasPseudonyms:
    """The pseudonyms of a domain; `url` is the gateway's, such as .../ttp-fhir/fhir/gpas."""

    def __init__(
        self, name: str, settings: Settings, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name, self.settings, self._transport = name, settings, transport
        self._local = LocalPseudonyms(name, settings)
        self._domains = {PATIENT: settings.domain, ACCESSION: settings.domain_accession}
        self._held: dict[tuple[str, str], str] = {}
        self._disk = (
            Remembered(settings.cache_file, settings.key()) if settings.cache_file else None
        )
        self._client: httpx.Client | None = None

    def of(self, kind: str, originals: Collection[Original]) -> dict[Original, str]:
        """The pseudonyms of identifiers; a gPAS knows them by their values alone."""
        domain = self._domains.get(kind, "")
        if not domain:
            return self._local.of(kind, originals)
        wanted = dict.fromkeys(value for _, value in originals)
        missing = [value for value in wanted if (domain, value) not in self._held]
        if self._disk is not None and missing:
            known = self._disk.get(domain, missing)
            self._held.update({(domain, value): known[value] for value in known})
            missing = [value for value in missing if value not in known]
        for start in range(0, len(missing), MOST):
            self._ask(domain, missing[start : start + MOST])
        found = {original: self._held[domain, original[1]] for original in originals}
        if len(self._held) > _MOST_HELD:
            self._held.clear()
        return found

    def back(self, kind: str, pseudonyms: Collection[str]) -> dict[str, str] | None:
        """The values of identifiers by their pseudonyms; those that nobody knows are left out."""
        domain = self._domains.get(kind, "")
        if not domain:
            return None
        wanted, found = list(dict.fromkeys(pseudonyms)), dict[str, str]()
        for start in range(0, len(wanted), MOST):
            some = wanted[start : start + MOST]
            answer = self._post("$dePseudonymize", domain, "pseudonym", some)
            said = ((pseudonym, value) for value, pseudonym in _given(answer.content))
            found |= {one: value for one, value in said if one in wanted and value}
        return found

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, domain: str, values: list[str]) -> None:
        """Ask for the pseudonyms of values, which are made where there are none yet."""
        answer = self._post("$pseudonymizeAllowCreate", domain, "original", values)
        given = dict(_given(answer.content))
        if any(not given.get(value) for value in values):
            raise UsageError(
                f"{self.name} does not give a pseudonym for each value. Does the domain {domain} "
                "of its gPAS take all of them? Its alphabet and rules say which."
            )
        self._held.update({(domain, value): given[value] for value in values})
        if self._disk is not None:
            self._disk.put(domain, {value: given[value] for value in values})

    def _post(self, operation: str, domain: str, name: str, values: list[str]) -> httpx.Response:
        said = [{"name": "target", "valueString": domain}]
        said += [{"name": name, "valueString": value} for value in values]
        body = orjson.dumps({"resourceType": "Parameters", "parameter": said})
        with http.errors(self.name, self.settings.timeout_s, "A gPAS"):
            headers = {"Content-Type": MEDIA, "Accept": MEDIA}
            headers |= http.authorization(self.settings)
            url = f"{self.settings.url.rstrip('/')}/{operation}"
            answer = self._connected().post(url, content=body, headers=headers)
        self._judge(answer)
        return answer

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status == 200:
            return
        if status in _BUSY:
            wait = http.seconds(answer.headers.get("Retry-After", ""))
            raise Refused(f"{self.name} is busy or away (HTTP {status}).", wait)
        if status in (401, 403):
            raise UsageError(
                f"{self.name} answers HTTP {status}: set user and password_env, or token_env, of "
                "the pseudonyms."
            )
        raise UsageError(
            f"{self.name} answers HTTP {status}. Is its url that of the TTP-FHIR gateway, and does "
            "the gPAS have the domain?"
        )

    def _connected(self) -> httpx.Client:
        import httpx

        if self._client is None:
            http.hush()
            tls, url = self.settings.tls, self.settings.url
            self._client = httpx.Client(
                verify=http.context(tls) if tls or url.startswith("https:") else False,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(self.settings.timeout_s, connect=15.0),
                transport=self._transport,
            )
        return self._client


def _given(content: bytes) -> Iterator[tuple[str, str]]:
    """Originals and their pseudonyms in an answer."""
    try:
        found: Any = orjson.loads(content)
        for one in found.get("parameter", ()):
            if one.get("name") != "pseudonym":
                continue
            parts = {part.get("name"): part for part in one.get("part", ())}
            yield tuple(  # type: ignore[misc]
                str(parts.get(name, {}).get("valueIdentifier", {}).get("value", ""))
                for name in ("original", "pseudonym")
            )
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return

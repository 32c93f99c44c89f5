"""Settings of a lake: its file `dicomlake.toml`, read once at the door and passed down.

Secrets are never in it: it names the environment variable or the file that holds them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tomlkit
import tomlkit.exceptions
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dicomlake.errors import UsageError

FILE = "dicomlake.toml"
"""Name of the file, in the folder of the lake."""
_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,31}")
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)i?[Bb]?")

AE = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]*[^\\\x00-\x20]$")]
RoleName = Literal["partner", "viewer", "researcher", "steward", "admin"]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Settings):
    """What an archive may be burdened with.

    `quiet_hours`: local times, such as "07:00-18:00", in which only what somebody waits for is
    asked (priority 0).
    """

    associations: Annotated[int, Field(ge=1, le=64)] = 2
    objects_per_second: Annotated[float, Field(gt=0)] | None = None
    quiet_hours: tuple[str, ...] = ()

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for hours in value:
            if not _HOURS.fullmatch(hours):
                raise ValueError(f"{hours!r} is no span of hours; write it like '07:00-18:00'")
        return value


class Tls(_Settings):
    """Encryption (PS3.15 B): `ca` trusts a certificate or an authority instead of the system's."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_hostname: bool = True


class _Token(_Settings):
    """Where a bearer token is: never the token."""

    token_env: str = ""
    token_file: Path | None = None

    def token(self) -> str:
        """The bearer token, "" when none is set; UsageError when it is not there."""
        return _secret(self.token_env, self.token_file, "token")


class _Credentials(_Token):
    """Where a password or a token is that another service asks for, and how it is reached."""

    user: str = ""
    password_env: str = ""
    password_file: Path | None = None
    tls: Tls | None = None

    def password(self) -> str:
        """The password, "" when none is set; UsageError when it is not there."""
        return _secret(self.password_env, self.password_file, "password")


class Source(_Credentials):
    """One source of objects.

    kind "dimse" needs host, port and called, and takes headers by DICOMweb when it has a url, too;
    "dicomweb" needs url; "objects" needs url (s3://bucket/prefix); "folder" needs path.
    """

    kind: Literal["dimse", "dicomweb", "objects", "folder"]
    # DIMSE
    host: str = ""
    port: Port | None = None
    called: AE | None = None
    calling: AE = "DICOMLAKE"
    retrieve: Literal["auto", "get", "move"] = "auto"
    # DICOMweb and object storage
    url: str = ""
    metadata: bool = True
    endpoint: str = ""
    region: str = ""
    # Folder
    path: Path | None = None
    # All
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    depth: Literal["headers", "complete"] = "headers"
    keep: bool = False
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _whole(self) -> Source:
        needs = {
            "dimse": ("host", "port", "called"),
            "dicomweb": ("url",),
            "objects": ("url",),
            "folder": ("path",),
        }[self.kind]
        missing = [name for name in needs if not getattr(self, name)]
        if missing:
            raise ValueError(f"a source of kind {self.kind} needs {' and '.join(missing)}")
        schemes = {"dicomweb": ("http://", "https://"), "objects": ("s3://",)}
        if self.kind in schemes and not self.url.startswith(schemes[self.kind]):
            raise ValueError(f"url must begin with {' or '.join(schemes[self.kind])}")
        return self


class ListenerSettings(_Settings):
    """Our own C-STORE listener: who may send what, and whether objects are kept as files.

    `callers`: calling AE titles that may send; those of DIMSE sources may as well, others are
    refused. Storage commitment is only given for objects that are kept.
    """

    ae_title: AE = "DICOMLAKE"
    host: str = "127.0.0.1"
    port: Port = 11112
    callers: tuple[AE, ...] = ()
    any_caller: bool = False
    associations: Annotated[int, Field(ge=1, le=256)] = 16
    keep: bool = False
    tls: Tls | None = None


class CacheSettings(_Settings):
    """Where kept objects lie and how large all of them may become, such as "50 GB"."""

    path: Path | None = None
    size: str = "20 GB"

    @field_validator("size")
    @classmethod
    def _readable(cls, value: str) -> str:
        return _checked_size(value)

    @property
    def bytes(self) -> int:
        """The size in bytes.

        >>> CacheSettings(size="1.5 GB").bytes
        1500000000
        """
        return _bytes(self.size)


class QueueSettings(_Settings):
    """Which queue holds the tasks: "sqlite" in the lake's folder, or "kafka"."""

    kind: str = "sqlite"
    brokers: str = ""
    prefix: str = "dicomlake"
    options: dict[str, str | int | bool] = {}

    @model_validator(mode="after")
    def _whole(self) -> QueueSettings:
        if self.kind == "kafka" and not self.brokers:
            raise ValueError("a queue of kind kafka needs brokers, such as 'localhost:9092'")
        return self


class Schedule(_Settings):
    """Something asked of a source every day at a local time."""

    source: str
    what: Literal["yesterday", "catalogue", "legacy"] = "yesterday"
    at: str = "02:00"
    days: Annotated[int, Field(ge=1, le=366)] = 3
    depth: Literal["headers", "complete"] | None = None

    @field_validator("at")
    @classmethod
    def _time(cls, value: str) -> str:
        if not _TIME.fullmatch(value):
            raise ValueError(f"{value!r} is no time of day; write it like '02:00'")
        return value


class Oidc(_Settings):
    """Signing in with an account of an OpenID Connect provider.

    `roles` and `projects` say what a value of `claim` (a list or a text) means; the highest role
    and the first project count, and who has no role does not enter. `name`: the claim to call
    people by. `audience`: of bearer tokens, that of the client when left out.
    """

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret_env: str = ""
    client_secret_file: Path | None = None
    label: str = "single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile")
    claim: str = "groups"
    name: str = "preferred_username"
    audience: str = ""
    roles: dict[str, RoleName] = {}
    projects: dict[str, str] = {}

    @field_validator("issuer")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise ValueError("issuer must begin with https://")
        return value

    def client_secret(self) -> str:
        """The secret of the client, from where it is; "" for a public client."""
        return _secret(self.client_secret_env, self.client_secret_file, "client secret")


class AccessSettings(_Settings):
    """Who may see what.

    `mask_below`: counts of fewer patients are shown as 0 to roles that only count, and others in
    steps of it. `audit`: the file of the audit log, in the lake's folder when left out. `proxies`:
    addresses of proxies that are believed when they say in X-Forwarded-For who asks. `hours`: how
    long a browser stays signed in.
    """

    mask_below: Annotated[int, Field(ge=2, le=1000)] = 5
    audit: Path | None = None
    proxies: tuple[str, ...] = ()
    hours: Annotated[float, Field(gt=0, le=24 * 30)] = 12.0
    oidc: Oidc | None = None


class LakeSettings(_Settings):
    """How a lake is made: with a `profile`, all that comes into it is de-identified at its door.

    `pseudonyms`: by which key, a name of `[pseudonyms.NAME]`. Both are fixed once the lake is
    made.
    """

    profile: str = ""
    pseudonyms: str = ""


class Deidentify(_Settings):
    """Who sees the lake de-identified, and how: `roles`, and members of projects that say so.

    `profile`: by which rules; `pseudonyms`: by which key, a name of `[pseudonyms.NAME]`.
    """

    roles: tuple[Literal["viewer", "researcher", "steward"], ...] = ()
    profile: str = "times-and-device"
    pseudonyms: str = ""


class Project(_Settings):
    """A project: its members see the series that a question finds, and nothing else.

    `filter`: the question, everything when left out; `level`: whether series meet it by
    themselves, or all series of the studies or patients that do count. `pseudonyms`: a
    name of `[pseudonyms.NAME]`, by which its members see people at the FHIR endpoint, and the
    whole lake if it is `deidentified`, whatever their role.
    """

    filter: str = ""
    pseudonyms: str = ""
    level: Literal["patient", "study", "series"] = "series"
    title: str = ""
    deidentified: bool = False


class Service(_Token):
    """The REST service; with `token_env` or `token_file` callers must send that bearer token.

    `hosts`: names by which it is reached, besides those of this machine alone and `host`. `url`:
    its address as browsers know it, where a proxy with TLS stands in front of it. `proxies`:
    addresses of proxies before it, whose X-Forwarded-Proto, -Host and -Prefix count. `viewer`: the
    folder in which OHIF is installed, instead of one for data of the user.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    hosts: tuple[str, ...] = ()
    url: str = ""
    access: AccessSettings = AccessSettings()
    proxies: tuple[str, ...] = ()
    viewer: Path | None = None
    deidentify: Deidentify = Deidentify()


class Enrich(_Settings):
    """How an enricher works: `[enrich.NAME]`. What has another name is one of its options.

    `automatic`: workers look at new series by themselves; those of today and of `days` days before
    come before all others.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    automatic: bool = False
    days: Annotated[int, Field(ge=0, le=3660)] = 1

    @property
    def options(self) -> dict[str, str]:
        """Its options, as text."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in (self.model_extra or {}).items()
        }


class WatchedFolder(_Settings):
    """A folder whose files are converted when they come: `[convert.NAME]`.

    `mapping`: a mapping file; `header`: attributes of objects that files do not tell; `source`:
    what the lake calls where they came from, NAME when left out. `done`: what was converted is
    moved to FOLDER/done, or kept where it is. A file is taken when nobody changed it for `quiet_s`.
    """

    folder: Path
    mapping: Path | None = None
    header: dict[str, str] = {}
    source: str = ""
    done: Literal["move", "keep"] = "move"
    quiet_s: Annotated[float, Field(ge=0)] = 5.0


class FactsFolder(_Settings):
    """A folder whose files are brought in as clinical facts when they come: `[facts.NAME]`.

    `source`: what the lake calls the system that they come from, NAME when left out; `issuer`: of
    patient numbers that no setting says one for; `mapping`: a mapping file of tables and texts.
    `done`: what was brought is moved to FOLDER/done, or kept where it is. Files are taken when
    nobody changed any of them for `quiet_s`, since they refer to each other.
    """

    folder: Path
    source: str = ""
    issuer: str = ""
    mapping: Path | None = None
    done: Literal["move", "keep"] = "move"
    quiet_s: Annotated[float, Field(ge=0)] = 30.0


class FhirTarget(_Credentials):
    """A FHIR server that the lake publishes to.

    `ids`: whether resources get our ids there ("ours"), or it gives ids of its own ("theirs");
    `query`: only what meets it, `level`: whether that is series alone, or all of their studies or
    patients. `pseudonyms`: the name of settings by which people become pseudonyms on the way out.
    `vanished`: what becomes of resources whose series are gone. `continuous`: workers publish what
    comes, once nothing more of a study came for `quiet_s`.
    """

    url: str
    release: Literal["R4", "R5"] = "R4"
    ids: Literal["ours", "theirs"] = "ours"
    profile: Literal["mii", "impetus", "none"] = "none"
    query: str = ""
    level: Literal["patient", "study", "series"] = "study"
    pseudonyms: str = ""
    vanished: Literal["delete", "mark", "keep"] = "delete"
    continuous: bool = False
    quiet_s: Annotated[float, Field(ge=0)] = 60.0
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    entries: Annotated[int, Field(ge=1, le=10_000)] = 200
    size: str = "4 MB"
    attempts: Annotated[int, Field(ge=1, le=100)] = 6

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise ValueError("url must begin with http:// or https://")
        return value

    @field_validator("size")
    @classmethod
    def _readable(cls, value: str) -> str:
        return _checked_size(value)

    @property
    def bytes(self) -> int:
        """How large a bundle may become, in bytes."""
        return _bytes(self.size)


class Pseudonyms(_Credentials):
    """How people become pseudonyms on the way out: by a key of ours, or asked of a gPAS.

    The key (32 bytes or more, in `key_env` or `key_file`) is needed in either case, for UIDs and
    ids. `dates`: "shift" moves all dates of a patient by the same days, up to `days` back; "year"
    keeps years alone. `cache_file`: what a gPAS answered is remembered there; nobody can tell from
    it whose pseudonyms they are.
    """

    kind: str = "local"
    key_env: str = ""
    key_file: Path | None = None
    dates: Literal["shift", "year"] = "shift"
    days: Annotated[int, Field(ge=1, le=3650)] = 365
    # gPAS: the TTP-FHIR gateway
    url: str = ""
    domain: str = ""
    domain_accession: str = ""
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    cache_file: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Pseudonyms:
        if not (self.key_env or self.key_file):
            raise ValueError("pseudonyms need a key: key_env or key_file")
        if self.kind == "gpas" and not (self.url and self.domain):
            raise ValueError("pseudonyms of kind gpas need url and domain")
        return self

    def key(self) -> bytes:
        """The key, from where it is; UsageError when it is not there, or too short."""
        found = _secret(self.key_env, self.key_file, "key of the pseudonyms").encode()
        if len(found) < 32:
            raise UsageError("The key of the pseudonyms is too short: 32 bytes at least.")
        return found


class FhirSite(_Settings):
    """What a site decides about its FHIR resources: `[fhir.site]`.

    `zone`: the time zone of devices that do not send theirs ("Europe/Berlin"); without one moments
    are days. `base_url`: address of the DICOMweb service that has the images, as others reach it.
    `patients` and `accessions`: identifier systems by issuer, "" for none. `canonical`: base of the
    addresses of our own profiles. `names`, `people`, `instances`: whether names of patients, names
    of physicians, and single instances are told. `secret_env` or `secret_file`: what ids are made
    with; else the lake keeps one of its own.
    """

    zone: str = ""
    base_url: str = ""
    patients: dict[str, str] = {}
    accessions: dict[str, str] = {}
    canonical: str = ""
    names: bool = False
    people: bool = False
    instances: bool = False
    secret_env: str = ""
    secret_file: Path | None = None

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key if value else ""
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no time zone; write it like 'Europe/Berlin'") from error

    @field_validator("base_url", "canonical")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc
        ):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    def secret(self) -> bytes:
        """The secret, from where it is; empty when none is named, UsageError when it is short."""
        found = _secret(self.secret_env, self.secret_file, "secret of FHIR ids").encode()
        if found and len(found) < 16:
            raise UsageError("The secret of FHIR ids is too short: 16 bytes at least.")
        return found


class FhirSettings(_Settings):
    """FHIR: where the lake publishes to.

    `release`: of the lake's own endpoint, unless its callers ask for the other one; `profile`: what
    its resources say they are.
    """

    release: Literal["R4", "R5"] = "R4"
    profile: Literal["mii", "impetus", "none"] = "none"
    site: FhirSite = FhirSite()
    target: dict[str, FhirTarget] = {}

    @field_validator("target")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            check_name(name)
        return value

    def of(self, name: str) -> FhirTarget:
        """The target of a name; UsageError names those that there are."""
        if name not in self.target:
            known = ", ".join(self.target) or "none yet; write [fhir.target.NAME] in dicomlake.toml"
            raise UsageError(f"There is no FHIR target {name!r}. There are: {known}.")
        return self.target[name]


class DatasetSettings(_Settings):
    """Datasets that the service makes: `[datasets]`.

    `folder`: where they are written; beside the lake when left out. `approval`: only cohorts that a
    steward approved. `workers`: processes that work on each.
    """

    folder: Path | None = None
    approval: bool = True
    workers: Annotated[int, Field(ge=1, le=64)] = 2


class ClinicalSettings(_Settings):
    """How clinical facts are brought in.

    `issuers`: systems of identifiers in FHIR, or assigning authorities in HL7 messages, and the
    IssuerOfPatientID that they stand for ("" where the images name none).
    """

    issuers: dict[str, str] = {}


class DoseHook(_Credentials):
    """Who is told of new alarms of dose: a POST of JSON without anything of patients."""

    url: str
    timeout_s: Annotated[float, Field(gt=0)] = 30.0

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise ValueError("url must begin with http:// or https://")
        return value


class DoseSettings(_Settings):
    """How radiation dose is told: `[dose]`.

    `folder`: of tables of the site, `_dose` in the lake when left out; `factor_set`: of effective
    dose; `least`: patients or events that a statement on a group needs; `head293`, `interpolate`:
    see docs/dose.md; `country`: whose reference levels count; `weights`: kg of standard adults;
    `alarms`: sets of rules that are on as well; `z`: from which distance on events stand out.
    """

    folder: Path | None = None
    factor_set: str = "AAPM 96"
    least: Annotated[int, Field(ge=2, le=10_000)] = 20
    head293: bool = False
    interpolate: bool = False
    country: str = ""
    weights: tuple[float, float] = (50.0, 90.0)
    alarms: tuple[str, ...] = ()
    z: Annotated[float, Field(gt=0)] = 3.5
    webhook: DoseHook | None = None


class ActivitySettings(_Settings):
    """What is known of devices beside their pictures: `[activity]`.

    `hours`: working hours from Monday to Friday, such as "07:30-16:00"; derived of the days of each
    device when left out. `timezone`: of the devices, such as "Europe/Berlin", by which the audit
    log is read; that of this machine when left out.
    """

    hours: str = ""
    timezone: str = ""

    @field_validator("hours")
    @classmethod
    def _hours(cls, value: str) -> str:
        if value and not _HOURS.fullmatch(value):
            raise ValueError(f"{value!r} are no hours; write them like 07:30-16:00")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            if value:
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone; write it like Europe/Berlin") from error
        return value


class FederationSite(_Credentials):
    """A site that is asked: `[site.NAME]` of a file of sites, `[federation.sites.NAME]` here."""

    url: str
    timeout_s: Annotated[float, Field(gt=0)] = 60.0

    @field_validator("url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        parts = urlsplit(value)
        loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise ValueError("url must begin with https://")
        return value


class Federation(_Settings):
    """What this site tells other sites: `[federation]`.

    `least`: numbers of fewer patients are not told, nor differences of so few; `overlapping`: how
    many questions of a caller may overlap within `days`. `site`: what the site is called. `out`:
    the folder in which datasets of studies are made once a steward approved them; `pseudonyms`:
    a name of `[pseudonyms.NAME]` by which people are called in them. `sites`: others that
    people may ask from the page of this one.
    """

    least: Annotated[int, Field(ge=2, le=1000)] = 5
    overlapping: Annotated[int, Field(ge=0, le=10_000)] = 100
    days: Annotated[float, Field(gt=0, le=3660)] = 30.0
    site: str = ""
    out: Path | None = None
    pseudonyms: str = ""
    sites: dict[str, FederationSite] = {}


class Settings(_Settings):
    """All settings of a lake."""

    source: dict[str, Source] = {}
    listener: ListenerSettings | None = None
    cache: CacheSettings = CacheSettings()
    queue: QueueSettings = QueueSettings()
    schedule: tuple[Schedule, ...] = ()
    service: Service = Service()
    project: dict[str, Project] = {}
    enrich: dict[str, Enrich] = {}
    convert: dict[str, WatchedFolder] = {}
    facts: dict[str, FactsFolder] = {}
    pseudonyms: dict[str, Pseudonyms] = {}
    fhir: FhirSettings = FhirSettings()
    lake: LakeSettings = LakeSettings()
    datasets: DatasetSettings = DatasetSettings()
    clinical: ClinicalSettings = ClinicalSettings()
    federation: Federation = Federation()
    dose: DoseSettings = DoseSettings()

    activity: ActivitySettings = ActivitySettings()

    @field_validator("source", "project", "pseudonyms", "convert", "facts")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            check_name(name)
        return value

    @model_validator(mode="after")
    def _known(self) -> Settings:
        for name, target in self.fhir.target.items():
            self._named(f"the target {name}", target.pseudonyms)
        for name, project in self.project.items():
            self._named(f"the project {name}", project.pseudonyms)
            if project.deidentified and not (project.pseudonyms or self._deidentify.pseudonyms):
                raise ValueError(f"the project {name} is deidentified: name its pseudonyms")
        said = self._deidentify
        if said.roles and not said.pseudonyms:
            raise ValueError("service.deidentify needs pseudonyms")
        self._named("service.deidentify", said.pseudonyms)
        return self

    def _named(self, who: str, name: str) -> None:
        if name and name not in self.pseudonyms:
            raise ValueError(
                f"{who} names pseudonyms {name!r}, which are not there: [pseudonyms.{name}]"
            )

    @property
    def _deidentify(self) -> Deidentify:
        return self.service.deidentify

    def watched(self, name: str) -> WatchedFolder:
        """The watched folder of a name; UsageError names those that there are."""
        if name not in self.convert:
            known = ", ".join(self.convert) or "none yet; write [convert.NAME] in dicomlake.toml"
            raise UsageError(f"There is no watched folder {name!r}. There are: {known}.")
        return self.convert[name]

    def facts_of(self, name: str) -> FactsFolder:
        """The watched folder of facts of a name; UsageError names those that there are."""
        if name not in self.facts:
            known = ", ".join(self.facts) or "none yet; write [facts.NAME] in dicomlake.toml"
            raise UsageError(f"There is no watched folder {name!r}. There are: {known}.")
        return self.facts[name]

    def of(self, name: str) -> Source:
        """The source of a name; UsageError names those that there are."""
        if name not in self.source:
            known = ", ".join(self.source) or "none yet; add one with: dicomlake source add"
            raise UsageError(f"There is no source {name!r}. There are: {known}.")
        return self.source[name]


def check_name(name: str) -> str:
    """The name of a source or project; ValueError when it is none.

    >>> check_name("orthanc-2")
    'orthanc-2'
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a source or project: small letters, digits, - and _, up to 32"
        )
    return name


def read(lake: str | Path) -> Settings:
    """The settings of a lake; the defaults when it has no file. UsageError says what is wrong."""
    path = Path(lake) / FILE
    if not path.exists():
        return Settings()
    return _checked(path, _document(path).unwrap())


def add_source(lake: str | Path, name: str, values: dict[str, Any]) -> Source:
    """Write a source into the file of a lake, keeping what else is in it, comments too.

    UsageError when the name is taken, or the values make no source.
    """
    path, document = _editable(lake)
    if "source" not in document:
        document["source"] = tomlkit.table(is_super_table=True)
    sources: Any = document["source"]
    if name in sources:
        raise UsageError(f"There is a source {name!r} already in {path}. Edit it there.")
    sources[name] = {key: value for key, value in values.items() if value is not None}
    return _write(path, document).source[name]


def set_listener(lake: str | Path, values: dict[str, Any]) -> Settings:
    """Write how the lake listens into its file; UsageError when the values are wrong."""
    path, document = _editable(lake)
    document["listener"] = {key: value for key, value in values.items() if value is not None}
    return _write(path, document)


def _editable(lake: str | Path) -> tuple[Path, tomlkit.TOMLDocument]:
    path = Path(lake) / FILE
    return path, _document(path) if path.exists() else tomlkit.document()


def _write(path: Path, document: tomlkit.TOMLDocument) -> Settings:
    """Check a document and write it, readable for its owner alone."""
    found = _checked(path, document.unwrap())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{FILE}.part")
        part.touch(mode=0o600)
        part.write_text(tomlkit.dumps(document), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    return found


def _document(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}.") from error


def _checked(path: Path, values: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = []
        for found in error.errors(include_input=False, include_url=False):
            place = ".".join(str(part) for part in found["loc"])
            what = found["msg"].removeprefix("Value error, ")
            problems.append(f"{place}: {what}" if place else what)
        raise UsageError(f"{path} has a mistake. {'; '.join(problems)}.") from error


def _checked_size(value: str) -> str:
    if not _SIZE.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is no size; write it like '50 GB'")
    return value


def _bytes(size: str) -> int:
    found = _SIZE.fullmatch(size.strip())
    assert found is not None
    return int(float(found[1]) * 1000 ** " kMGT".index(found[2].replace("K", "k") or " "))


def _secret(variable: str, file: Path | None, what: str) -> str:
    if variable:
        found = os.environ.get(variable)
        if found is None:
            raise UsageError(f"The {what} is to be in the variable {variable}, which is not set.")
        return found
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The {what} is to be in {file}, which cannot be read.") from error
    return ""

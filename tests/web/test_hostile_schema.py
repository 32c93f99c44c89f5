"""Whatever the description of the service allows: never an error of ours.

Requests are made up from the OpenAPI document, and sent to a real service of a small lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans

from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.settings import Settings
from dicomlake.web import app
from dicomlake.web.explore import queries

from .guarded import HIDDEN_INSTANCE, SEEN, SEEN_INSTANCE, STUDY, copied, make_lake
from .guarded import settings as service
from .serving import served

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 16
_CHECKS = ("not_a_server_error", "content_type_conformance")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    return copied(make_lake(folder), tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def headers(lake: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {Tokens(lake).add('hostile', Role.admin)}"}


@pytest.fixture(scope="module")
def schema(lake: Path, headers: dict[str, str]) -> Iterator[Any]:
    """The description of a real server, which the requests go to."""
    with served(lake, service()) as base:
        yield schemathesis.openapi.from_url(f"{base}/api/openapi.json", headers=headers)


REAL: dict[str, Any] = {
    "StudyInstanceUID": STUDY, "SeriesInstanceUID": SEEN, "SOPInstanceUID": SEEN_INSTANCE,
    "a": SEEN_INSTANCE, "b": HIDDEN_INSTANCE, "name": "pacs", "patient_key": 1, "path": "Modality",
    "by": "StationName", "parent": "@attributes", "sql": "select * from series",
    "text": "Modality = 'CT'", "prefix": "C", "value": "CT",
    "where": "Modality = 'CT' and KVP > 3",
}  # fmt: skip
"""Names of parameters and members, and what finds something."""


def make_real(case: Any) -> None:
    """Let a made-up request name what there is, so that it comes further."""
    for some in (case.path_parameters, case.query, case.body):
        if isinstance(some, dict):
            some.pop("timeout_s", None)  # less than it takes is a 503, rightly
            some |= {name: value for name, value in REAL.items() if name in some}
            if some.pop("version", None) is not None:
                some["version"] = 0


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "WAIT_S", 0.0)


OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in app(Path("none"), Settings()).openapi()["paths"].items()
    for method in methods
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_request_breaks_the_service(
    schema: Any, headers: dict[str, str], operation: str
) -> None:
    method, path = operation.split(" ")
    checks = list(schemathesis.checks.CHECKS.get_by_names(_CHECKS))

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=schema[path][method].as_strategy(), real=booleans())
    def ask(case: Any, real: bool) -> None:
        if real:
            make_real(case)
        case.call_and_validate(checks=checks, headers=headers)

    ask()

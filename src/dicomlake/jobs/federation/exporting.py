"""The dataset of a study at a site: its cohort is frozen, approved by a steward, and made here."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.cohorts import approving
from dicomlake.jobs.datasets import ledger as ledgers
from dicomlake.jobs.datasets import schemas
from dicomlake.jobs.datasets.making import CANCELLED, FINISHED, INCOMPLETE, STOPPED, make, run
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.federation.studies import Study
from dicomlake.lake import Store
from dicomlake.settings import Federation

log = logging.getLogger(__name__)
_making: set[str] = set()
_lock = threading.Lock()


def export(lake: Path, study: Study, rules: Federation, by: str) -> dict[str, Any]:
    """How far the dataset of a study is; begins what can begin, and never waits for it.

    state: waiting (for a steward), refused, making, finished; or how it stopped, and it goes on.
    `schema`: of a finished one. Nothing in it tells of patients.
    """
    if study.export is None:
        raise UsageError("The study wants no dataset.")
    if rules.out is None or not rules.pseudonyms:
        raise UsageError("This site makes no datasets: its settings name no out and pseudonyms.")
    request = _request(lake, study, by)
    if request.state in ("open", "refused"):
        state = "waiting" if request.state == "open" else "refused"
        return {"study": study.digest, "state": state, "cohort": study.name, "schema": None}
    if not request.approved(time.time()):
        return {"study": study.digest, "state": "refused", "cohort": study.name, "schema": None}
    state, out = _state(lake, study)
    if state != FINISHED:
        _begin(lake, study, rules)
        state = state if state in (STOPPED, INCOMPLETE, CANCELLED) else "making"
    schema = schemas.read(out) if state == FINISHED else None
    return {"study": study.digest, "state": state, "cohort": study.name, "schema": schema}


def _request(lake: Path, study: Study, by: str) -> approving.Request:
    """The request of this very study for its cohort, which is made when there is none yet."""
    assert study.export is not None
    mark = f"study {study.digest}"
    known = study.name in {version.name for version in cohorts.listed(lake)}
    found = [r for r in approving.requests(lake, study.name) if mark in r.purpose] if known else []
    if found:
        return found[-1]
    where = study.sections[study.export.section]
    version = cohorts.freeze(Store(lake), study.name, where, study.level, by=by, comment=mark)
    log.info("cohort of a study frozen", extra={"cohort": study.name, "version": version.version})
    return approving.request(
        lake,
        f"{study.name}@{version.version}",
        f"{study.purpose or study.name} ({mark})",
        profile=study.export.profile,
        by=by,
    )


def _called(study: Study) -> str:
    """The name of the dataset: of this study and no other one."""
    return f"{study.name}-{study.digest[:8]}"


def _state(lake: Path, study: Study) -> tuple[str, str]:
    """State and place of the dataset."""
    if _called(study) not in ledgers.names(lake):
        return "", ""
    with contextlib.closing(ledgers.Ledger(lake, _called(study))) as ledger:
        job = ledger.job
    return str(job["state"]), str(job["out"])


def _begin(lake: Path, study: Study, rules: Federation) -> None:
    """Make the dataset beside other work, or go on with it, unless that happens already."""
    key = f"{lake} {_called(study)}"
    with _lock:
        if key in _making:
            return
        _making.add(key)

    def work() -> None:
        try:
            _make(lake, study, rules)
        except DicomlakeError as error:
            log.warning("dataset of a study stopped", extra={"why": type(error).__name__})
        finally:
            with _lock:
                _making.discard(key)

    threading.Thread(target=work, name=key, daemon=True).start()


def _make(lake: Path, study: Study, rules: Federation) -> None:
    assert study.export is not None
    assert rules.out is not None
    name = _called(study)
    if name in ledgers.names(lake):
        run(lake, name)
        return
    rules.out.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(
        out=str(rules.out / name),
        cohort=study.name,
        profile=study.export.profile,
        pseudonyms=rules.pseudonyms,
        formats=study.export.formats,
        layout="federated",
        labels=study.export.labels,
        title=study.purpose,
        site=rules.site,
    )
    make(lake, wanted, name=name)

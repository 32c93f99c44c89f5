"""Telling of new alarms: a POST to the address in the settings, without anything of patients."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from dicomlake import settings
from dicomlake.contracts import http
from dicomlake.errors import Refused, UsageError
from dicomlake.jobs.dose.alarms import alarms, forget, notice
from dicomlake.jobs.dose.options import options_of

log = logging.getLogger(__name__)

_SAID = "alarm_id rule set quantity value limit unit per days kind".split()
"""What is told: nothing by which a patient, a study or an event can be found elsewhere."""


def tell(
    lake: str | Path, engine: Any, *, transport: Any = None, ticket: object = None
) -> list[dict[str, Any]]:
    """Tell of open alarms that nobody was told of yet; those that were told now.

    UsageError when the settings say no address; Refused when it takes nothing: they come again.
    """
    hook = settings.read(lake).dose.webhook
    if hook is None:
        raise UsageError(
            "Nobody is to be told of alarms. Write [dose.webhook] with url in dicomlake.toml."
        )
    options = options_of(lake)
    assert options.folder is not None
    rows = alarms(engine, options=options, ticket=ticket).to_pylist()
    fresh = notice(options.folder, (row for row in rows if row["holds"]))
    if not fresh:
        return []
    said = [{name: row[name] for name in _SAID} for row in fresh]
    try:
        with http.errors("the webhook of alarms", hook.timeout_s, "A webhook"):
            _post(hook, {"alarms": said}, transport)
    except Exception:
        forget(options.folder, fresh)
        raise
    log.info("alarms told", extra={"alarms": len(fresh)})
    return said


def _post(hook: settings.DoseHook, body: dict[str, Any], transport: Any) -> None:
    import httpx

    with httpx.Client(
        transport=transport, verify=http.context(hook.tls), timeout=hook.timeout_s
    ) as client:
        answer = client.post(hook.url, json=body, headers=http.authorization(hook))
    if not answer.is_success:
        raise Refused(f"The webhook of alarms answers with status {answer.status_code}.")

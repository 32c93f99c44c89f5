"""No dependency of the package forbids what its licence allows."""

from __future__ import annotations

import re
from importlib.metadata import distributions


def test_nothing_installed_is_gpl() -> None:
    found = []
    for package in distributions():
        meta = package.metadata
        said = [meta.get("License-Expression") or "", (meta.get("License") or "")[:60]]
        said += [c for c in meta.get_all("Classifier") or [] if c.startswith("License")]
        text = " ".join(said)
        if re.search(r"\bA?GPL|GNU (Affero )?General Public", text):
            found.append(package.name)
    assert found == []
    assert len(list(distributions())) > 20

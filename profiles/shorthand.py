"""Compile the profiles in FHIR Shorthand: `python -m profiles.shorthand`, then `.definitions`.

SUSHI runs without a network: the packages it would fetch lie in a home of its own, made of those in
tests/fhir/node_modules. What comes out is shipped, without dates.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from profiles.definitions import HERE, OWN, PACKAGES

CORES = {
    "r4": ("hl7.fhir.r4.core", "4.0.1", "hl7.fhir.r4.examples"),
    "r5": ("hl7.fhir.r5.core", "5.0.0", "hl7.fhir.r5.core"),
}
"""Release -> name and version of its core package, and the npm package that holds it."""


def compiled(release: str, folder: Path, packages: Path = PACKAGES) -> dict[str, bytes]:
    """The resources of the profiles of a release by file name, compiled in an empty folder."""
    name, version, held = CORES[release]
    home = folder / "home"
    _lay_out(packages / held, home / ".fhir" / "packages" / f"{name}#{version}" / "package", name)
    source = folder / release
    shutil.copytree(HERE / release, source)
    sushi = packages / "fsh-sushi" / "dist" / "app.js"
    done = subprocess.run(
        ["node", str(sushi), "build", "."],
        cwd=source,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "npm_config_offline": "true",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    made = source / "fsh-generated" / "resources"
    if done.returncode != 0 or not made.is_dir():
        raise SystemExit(f"SUSHI did not compile {release}:\n{done.stdout}{done.stderr}")
    return {
        path.name: _normal(json.loads(path.read_bytes()))
        for path in sorted(made.glob("*.json"))
        if not path.name.startswith("ImplementationGuide")
    }


def _lay_out(package: Path, place: Path, name: str) -> None:
    """The structures of a package where SUSHI looks for it, and its description by its name."""
    place.mkdir(parents=True)
    for path in package.glob("StructureDefinition-*.json"):
        shutil.copyfile(path, place / path.name)
    about = json.loads((package / "package.json").read_bytes())
    (place / "package.json").write_text(json.dumps({**about, "name": name}))


def _normal(resource: dict[str, Any]) -> bytes:
    """A resource without the moment it was made."""
    resource.pop("date", None)
    text = json.dumps(resource, ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode() + b"\n"


def main() -> None:
    """Compile the profiles of both releases."""
    for release in CORES:
        with tempfile.TemporaryDirectory() as folder:
            made = compiled(release, Path(folder))
        place = OWN / release
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name, text in made.items():
            (place / name).write_bytes(text)
        print(f"{release}: {len(made)} resources")


if __name__ == "__main__":
    main()

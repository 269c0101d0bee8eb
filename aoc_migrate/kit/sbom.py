"""The bill of materials of a bundle: CycloneDX 1.6, from the metadata of the wheels."""

import email.parser
import json
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.kit.checksums import sha256


def sbom(wheels: list[Path]) -> str:
    """Return the JSON for a bundle with these wheels; its main component is this package."""
    metadata = {path: _metadata(path) for path in wheels}
    libraries = [_component(path, about) for path, about in metadata.items() if about["Name"] != "aoc-migrate"]
    main = {"type": "application", **_named("aoc-migrate", __version__)}
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": libraries,
        "dependencies": [{"ref": main["bom-ref"], "dependsOn": [part["bom-ref"] for part in libraries]}],
    }
    return json.dumps(body, indent=2) + "\n"


def _metadata(path: Path) -> Message:
    with zipfile.ZipFile(path) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(wheel.read(name).decode("utf-8"))


def _named(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"bom-ref": purl, "name": name, "version": version, "purl": purl}


def _component(path: Path, metadata: Message) -> dict[str, Any]:
    expression, name = metadata["License-Expression"], metadata["License"]
    licenses: list[dict[str, Any]] = []
    if expression:
        licenses = [{"expression": expression}]
    elif name and len(name.splitlines()) == 1:
        licenses = [{"license": {"name": name}}]
    return {
        "type": "library",
        **_named(metadata["Name"], metadata["Version"]),
        "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
        **({"licenses": licenses} if licenses else {}),
    }

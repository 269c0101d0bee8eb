"""The bill of materials of a bundle or an image: CycloneDX 1.6, from the metadata of the wheels."""

import email.parser
import json
import zipfile
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.kit.checksums import sha256

Component = dict[str, Any]


def sbom(wheels: Sequence[Path], base: Sequence[Component] = ()) -> str:
    """Return the JSON for these wheels; its main component is this package.

    ``base`` is what an image has below the packages: Python, and the packages of the operating system.
    """
    main, libraries = _package("application", "aoc-migrate", __version__), []
    for path in wheels:
        metadata = _metadata(path)
        if metadata["Name"] == "aoc-migrate":
            main |= _licenses(metadata)
        else:
            libraries.append(_library(path, metadata))
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": [*libraries, *base],
        "dependencies": [{"ref": main["bom-ref"], "dependsOn": [part["bom-ref"] for part in libraries]}],
    }
    return json.dumps(body, indent=2) + "\n"


def component(type_: str, name: str, version: str, purl: str) -> Component:
    """Return a component; its package URL is also the reference to it."""
    return {"type": type_, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _metadata(path: Path) -> Message:
    with zipfile.ZipFile(path) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(wheel.read(name).decode("utf-8"))


def _package(type_: str, name: str, version: str) -> Component:
    return component(type_, name, version, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")


def _library(path: Path, metadata: Message) -> Component:
    return {
        **_package("library", metadata["Name"], metadata["Version"]),
        "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
        **_licenses(metadata),
    }


def _licenses(metadata: Message) -> Component:
    """Return the licenses that a wheel declares: as an SPDX expression, or in the fields that preceded it."""
    if expression := metadata["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    text = metadata["License"] or ""
    classifiers = [c for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    names = [text] if len(text.splitlines()) == 1 else [c.rpartition(" :: ")[2] for c in classifiers]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}

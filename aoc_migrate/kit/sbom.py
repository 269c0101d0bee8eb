"""The bill of materials of a bundle or an image: CycloneDX 1.6, from the metadata of the wheels."""

import json
from collections import Counter
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.kit.checksums import sha256
from aoc_migrate.kit.wheels import read_metadata

Component = dict[str, Any]


def sbom(wheels: Sequence[Path], base: Sequence[Component] = ()) -> str:
    """Return the JSON for these wheels; its main component is this package.

    ``base`` is what an image has below the packages: Python, and the packages of the operating system.
    """
    main, libraries = _package("application", "aoc-migrate", __version__), []
    known = [(path, read_metadata(path)) for path in wheels]
    wheels_of = Counter(metadata["Name"] for _, metadata in known)
    for path, metadata in known:
        if metadata["Name"] == "aoc-migrate":
            main |= _licenses(metadata)
        else:
            libraries.append(_library(path, metadata, alone=wheels_of[metadata["Name"]] == 1))
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


def _package(type_: str, name: str, version: str) -> Component:
    return component(type_, name, version, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")


def _library(path: Path, metadata: Message, *, alone: bool) -> Component:
    """Return the component of a wheel; unless it is ``alone``, its package has others, for other platforms."""
    package = _package("library", metadata["Name"], metadata["Version"])
    reference = package["purl"] if alone else f"{package['purl']}?file_name={path.name}"
    return {
        **package,
        **{"bom-ref": reference, "purl": reference},
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

"""Runs rendered containers as processes: what Kubernetes does with words, variables and mounts, done by hand."""

from pathlib import Path

from tests.conftest import Aoc, Ran
from tests.deploy.conftest import Manifest, containers

EVIDENCE = "/var/lib/aoc-migrate/evidence"


def named(manifests: list[Manifest], kind: str, part: str = "") -> Manifest:
    """Return the only container of ours in the only manifest of a kind whose name has this part."""
    (manifest,) = [m for m in manifests if m["kind"] == kind and part in m["metadata"]["name"]]
    (container,) = containers([manifest])
    return container


def words(container: Manifest, mounted: dict[str, Path] | None = None) -> list[str]:
    """Return the words of its command line, with the mounts of the machine in place of those of a pod."""
    options = [expanded(word).partition("=") for word in container["args"]]
    return [f"{name}{equals}{(mounted or {}).get(value, value)}" for name, equals, value in options]


def variables(container: Manifest, mounted: dict[str, Path] | None = None) -> dict[str, str]:
    """Return its variables, but for those that come from elsewhere."""
    values = {v["name"]: expanded(v["value"]) for v in container["env"] if "value" in v}
    return {name: str((mounted or {}).get(value, value)) for name, value in values.items()}


def expanded(text: str) -> str:
    """Return what Kubernetes makes of a text that names no variable: each $$ is a $."""
    assert "$" not in text.replace("$$", ""), text
    return text.replace("$$", "$")


def start(container: Manifest, mounted: dict[str, Path], **more: str) -> Ran:
    """Run a container's words with its variables; `mounted` has files in place of those of its mounts."""
    return Aoc(variables(container, mounted) | more).json(*words(container, mounted))

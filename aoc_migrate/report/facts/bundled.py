"""Facts about a bundle."""

from dataclasses import dataclass

from aoc_migrate.report.fields import Bytes, Facts


@dataclass(frozen=True)
class BundleFacts(Facts):
    """What was written: files, their bytes, the wheels, and the sum of the list of sums."""

    files: int
    size_bytes: Bytes
    wheels: tuple[str, ...]
    sha256_of_sums: str


@dataclass(frozen=True)
class BundleCheckFacts(Facts):
    """What was found in a bundle."""

    files: int
    signatures: tuple[str, ...]
    sha256_of_sums: str | None = None

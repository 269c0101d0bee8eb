"""Facts about a bundle."""

from dataclasses import dataclass

from aoc_migrate.report.fields import Bytes, Facts


@dataclass(frozen=True)
class BundleFacts(Facts):
    """The files of a bundle, their bytes, the wheels, and the SHA-256 of SHA256SUMS."""

    files: int
    size_bytes: Bytes
    wheels: tuple[str, ...]
    sha256_of_sums: str

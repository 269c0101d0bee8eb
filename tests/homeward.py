"""Whoever types what ``next`` says, again and again."""

import shlex
from collections.abc import Iterator

from tests.conftest import Aoc, Ran


def play(aoc: Aoc, command: str) -> Iterator[tuple[str, Ran]]:
    """Run a command, then what its report says is next, or else the first choice, until there is nothing next."""
    while command:
        assert command.startswith("aoc-migrate ") or command.startswith(
            "AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate "
        )
        variable, _, typed = command.rpartition("aoc-migrate ")
        more = dict(word.split("=") for word in variable.split())
        ran = aoc.json(*shlex.split(typed), **more)
        yield command, ran
        following = [report["next"] for report in ran.json["reports"]]
        offered = [each for one in following for each in (one["command"], *one["choices"]) if each]
        command = offered[0] if offered else ""

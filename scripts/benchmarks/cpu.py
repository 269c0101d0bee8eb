"""CPU time of a backend: on a busy machine the clock also counts its wait for a core."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from scripts.benchmarks.lab import value


def counted(connection: psycopg.Connection[object]) -> bool:
    """Return whether the CPU time of the connection's backend can be read: only Linux shows it."""
    return _schedstat(connection).exists()


def spent_by(connection: psycopg.Connection[object], action: Callable[[], object]) -> float:
    """Run ``action``; return the seconds of CPU that the connection's backend spent on it."""
    before = _spent(connection)
    action()
    return (_spent(connection) - before) / 1e9


def _spent(connection: psycopg.Connection[object]) -> int:
    """Return the nanoseconds of CPU so far."""
    value(connection, "SELECT 1")  # so that everything before is counted
    return int(_schedstat(connection).read_text(encoding="ascii").split()[0])


def _schedstat(connection: psycopg.Connection[object]) -> Path:
    return Path(f"/proc/{connection.info.backend_pid}/schedstat")


def shuffled(rounds: int, seed: int, actions: Mapping[str, Callable[[int], float]]) -> dict[str, list[float]]:
    """Take every measurement once a round, in a new order each time; return the figures by name.

    An action gets the number of its round. The warm-up, round -1, does not count.
    """
    chance = random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(-1, rounds):
        for name in chance.sample(list(actions), len(actions)):
            found[name].append(actions[name](number))
    return {name: figures[1:] for name, figures in found.items()}

"""A rollback of replicas that run `upgrade` at every start, with real processes."""

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill, wrong_links

REPLICAS = ("pod-a", "pod-b", "pod-c")


def start_all(aoc: Aoc, **more: str) -> list[tuple[int, str]]:
    """Start every replica's init container at once; return exit codes and reports."""
    started = [aoc.start("upgrade", HOSTNAME=pod, **more) for pod in REPLICAS]
    outputs = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, out) for process, (out, _) in zip(started, outputs, strict=True)]


@pytest.mark.alike
@pytest.mark.parametrize("rollback", [["downgrade", "-1"], ["constraints", "--remove"]], ids=str)
def test_restarted_replicas_respect_a_rollback(
    rollback: list[str], excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """After a rollback, restarted replicas change nothing, say why and exit 0, until the hold is released."""
    fill(excititor, 300)
    aoc.configure(excititor)
    assert [code for code, _ in start_all(aoc, **retrofit)] == [0, 0, 0]
    above = fingerprint(excititor.connection)
    assert aoc(*rollback, HOSTNAME="operator", AOC_GUARD_ENABLED="false").exit_code == 0
    held = fingerprint(excititor.connection)
    assert held != above

    for _ in range(2):
        restarted = start_all(aoc, **retrofit)
        assert [code for code, _ in restarted] == [0, 0, 0]
        assert all("held" in out and " ".join(rollback) in out and "operator" in out for _, out in restarted)
        assert fingerprint(excititor.connection) == held

    assert aoc("upgrade", "--release-hold", **retrofit).exit_code == 0
    assert [code for code, _ in start_all(aoc)] == [0, 0, 0]
    assert fingerprint(excititor.connection) == above
    assert wrong_links(excititor) == 0


def test_a_rollback_wins_over_starting_replicas(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A rollback that races with starting replicas wins: later replicas change nothing."""
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0

    rollback = aoc.start("downgrade", "excititor_0003")
    replicas = start_all(aoc, **retrofit)
    rollback.communicate(timeout=60)

    assert rollback.returncode == 0
    assert [code for code, _ in replicas] == [0, 0, 0]
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0003"

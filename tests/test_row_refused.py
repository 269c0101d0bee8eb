"""A row that breaks a rule and comes in during the upgrade: after the audit, and before what would refuse it."""

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.helpers import wait_until

WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


def upgrade_while_arriving(database: Database, aoc: Aoc, **values: object) -> Ran:
    """Upgrade while a service stores a row, which it commits when the upgrade waits: the audit has not seen it."""
    database.add("first", upstream_id="CVE-1", content_hash="sha256:1")
    with psycopg.connect(database.url) as service:
        writer = Database(service, database.table, database.target)
        writer.add("second", **{"upstream_id": "CVE-2", **values})
        process = aoc.start("upgrade", database.target, "--format", "json", "--deadline", "30s")
        wait_until(lambda: bool(database.value(WAITING)))
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return Ran(process.wait(), out, err)


@pytest.mark.parametrize(
    ("below", "values", "remedy"),
    [
        ("0001", {"linkset": {"severity": 9}}, "repair"),
        ("0003", {"upstream_id": "CVE-1", "content_hash": "sha256:1"}, "dedupe"),
    ],
    ids=["guard", "index"],
)
def test_next_leads_from_a_late_row_to_head(
    below: str, values: dict[str, object], remedy: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The step that proves the rows says that one came in late; what `next` says repairs it and goes on."""
    aoc.configure(excititor)
    assert aoc("upgrade", f"excititor_{below}").exit_code == 0

    stopped = upgrade_while_arriving(excititor, aoc, **values)

    assert (stopped.exit_code, stopped.slugs("error")) == (4, ["row-refused"])
    audited = aoc.json(*stopped.report["next"]["command"].split()[1:])
    assert audited.exit_code == 1
    following = audited.report["next"]["command"]
    assert following.split()[1] == remedy
    assert aoc(*following.split()[1:], "--apply").exit_code == 0
    assert aoc("upgrade", **retrofit).exit_code == 0

"""A row that breaks a rule and comes in during the upgrade: after the audit, and before what would refuse it."""

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.helpers import wait_until
from tests.homeward import play

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


def test_an_error_that_others_raise_is_about_no_row(excititor: Database, aoc: Aoc) -> None:
    """Code of others cannot pass its own error off as a row of the table."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    excititor.run(
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog "
        "AS $$ BEGIN IF current_query() LIKE '%VALIDATE%' THEN RAISE check_violation; END IF; END $$; "
        "CREATE EVENT TRIGGER refusing ON ddl_command_end EXECUTE FUNCTION public.refuse()"
    )

    stopped = aoc.json("upgrade")

    assert (stopped.exit_code, stopped.slugs("error")) == (4, ["step-failed"])


@pytest.mark.parametrize(
    ("below", "values", "remedy"),
    [
        ("0001", {"linkset": {"severity": 9}}, "repair"),
        ("0003", {"upstream_id": "CVE-1", "content_hash": "sha256:1"}, "dedupe"),
    ],
    ids=["guard", "index"],
)
def test_next_leads_from_a_late_row_to_head(
    below: str, values: dict[str, object], remedy: str, excititor: Database, aoc: Aoc
) -> None:
    """A row that came in late is refused by name; what `next` says, typed as it is, ends at a verified head."""
    aoc.configure(excititor)
    assert aoc("upgrade", f"excititor_{below}").exit_code == 0

    stopped = upgrade_while_arriving(excititor, aoc, **values)

    assert (stopped.exit_code, stopped.slugs("error")) == (4, ["row-refused"])
    walked = list(play(aoc, stopped.report["next"]["command"]))
    verbs = [command.rpartition("aoc-migrate ")[2].split()[0] for command, _ in walked]
    assert verbs[:3] == ["upgrade", remedy, remedy]  # its audit finds the row; what it would do; --apply
    assert (verbs[-1], walked[-1][1].exit_code) == ("verify", 0)
    assert walked[-1][1].report["revision"] == "excititor_0007"

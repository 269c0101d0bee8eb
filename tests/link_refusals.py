"""Two revisions of a document, and what shows that something refuses their links."""

from tests.conftest import Aoc, Database
from tests.helpers import psql

LONG = "vex_raw:osv:ghsa-0000-0000-0000:sha256-"
TO_ITSELF = f"UPDATE vex_raw SET supersedes = '{LONG}0' WHERE id = '{LONG}0'"
UNJUDGED = "index public.once may refuse them"
REFUSING_INDEXES = {
    "some columns": (
        f"{TO_ITSELF}; CREATE UNIQUE INDEX once ON vex_raw (tenant, supersedes) INCLUDE (upstream_id)",
        "unique index public.once",
    ),
    "a constraint": (
        f"{TO_ITSELF}; ALTER TABLE vex_raw ADD CONSTRAINT once UNIQUE (supersedes)",
        "unique index public.once",
    ),
    "the rows with a link": (
        f"{TO_ITSELF}; CREATE UNIQUE INDEX once ON vex_raw (supersedes) WHERE supersedes IS NOT NULL",
        "unique index public.once",
    ),
    "the link only as the condition": (
        f"{TO_ITSELF}; CREATE UNIQUE INDEX once ON vex_raw (tenant) WHERE supersedes = '{LONG}0'",
        "unique index public.once",
    ),
    "an expression": ("CREATE UNIQUE INDEX once ON vex_raw (lower(supersedes))", UNJUDGED),
    "an exclusion": (
        "ALTER TABLE vex_raw ADD CONSTRAINT once EXCLUDE USING btree (supersedes WITH =)",
        UNJUDGED,
    ),
}
FITTING_INDEXES = [
    "ALTER TABLE vex_raw ADD UNIQUE (supersedes)",
    "CREATE UNIQUE INDEX ON vex_raw (supersedes) WHERE supersedes IS NOT NULL",
    "CREATE UNIQUE INDEX ON vex_raw (tenant) INCLUDE (supersedes) WHERE id = 'nothing'",
    "CREATE UNIQUE INDEX ON vex_raw (lower(id)) INCLUDE (supersedes)",
]


def chain_of_two(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """Make a chain of two revisions without a link, in a database that is configured and allows the backfill."""
    excititor.run("ALTER TABLE vex_raw ADD supersedes text")
    for n in range(2):
        excititor.add(f"{LONG}{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    aoc.environment |= retrofit
    return excititor


def refused(database: Database, aoc: Aoc, slug: str, reason: str) -> str:
    """Check that audit, upgrade and script find the obstacle and change nothing; return its remedy."""
    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")
    script = psql(database, aoc("plan", "excititor", "base:head", "--sql").out, "-v", "retrofit=1")

    assert (audited.exit_code, slug in audited.slugs("error")) == (1, True)
    assert (upgraded.exit_code, slug in upgraded.slugs("error"), upgraded.report["changed"]) == (1, True, False)
    assert reason in audited.finding(slug)["problem"]
    assert (script.exit_code, reason in script.err, "nothing was changed" in script.err) == (3, True, True), (
        script.err
    )
    assert database.value("SELECT to_regclass('aoc_migration_state')") is None
    return str(audited.finding(slug)["help"])

"""The whole migration compared with its two alternatives: plain Alembic, and psql.

psql runs our own two scripts (`scripts/`), under the names that the guide gives.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from textwrap import dedent

from aoc_migrate.contract.v1 import ADVISORY_RAW
from scripts.benchmarks.backfill import SET_BASED
from scripts.benchmarks.lab import ROOT, TABLE, Lab, run
from scripts.benchmarks.results import Ratio, best, say, seconds

ENVIRONMENT = """\
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["NAIVE_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def statements(*, content_first: bool = True) -> list[str]:
    """Return the change as somebody writes it who does not think of concurrent writers.

    ``content_first``: the CHECK on content comes before the UPDATE, which then reads every document.
    """
    document = ADVISORY_RAW.document_check()
    checks = [*ADVISORY_RAW.row_checks(), *([document] if content_first else [])]
    late = (
        [] if content_first else [f"ALTER TABLE {TABLE} ADD CONSTRAINT naive_content CHECK ({document.predicate})"]
    )
    adds = ", ".join(f"ADD CONSTRAINT naive_{n} CHECK ({check.predicate})" for n, check in enumerate(checks))
    required = ", ".join(f"ALTER {column} SET NOT NULL" for column in ADVISORY_RAW.required)
    return [
        f"ALTER TABLE {TABLE} {required}",
        f"ALTER TABLE {TABLE} {adds}",
        f"CREATE UNIQUE INDEX naive_key ON {TABLE} ({', '.join(ADVISORY_RAW.idempotency_key)})",
        f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS supersedes text",
        SET_BASED,
        *late,
        "ALTER TABLE advisory RENAME TO advisory_backup_20251028",
        "CREATE VIEW advisory AS SELECT * FROM advisory_backup_20251028",
    ]


def measure(lab: Lab) -> Iterator[Ratio]:
    """Run each on a clone of its own, twice, in turn."""

    def cloned(action: Callable[[], object]) -> float:
        lab.clone(lab.legacy(), "rival")
        return seconds(action)

    ours, first, last = best(
        lambda: cloned(lambda: lab.aoc("rival", "upgrade", "concelier")),
        lambda: cloned(lambda: alembic(lab, "rival", statements())),
        lambda: cloned(lambda: alembic(lab, "rival", statements(content_first=False))),
    )
    what, revision = "`upgrade`, audit and verify included", "one Alembic revision, CHECK on content"
    yield Ratio(what, f"{revision} before its UPDATE", ours, first, "s", 2.5)
    yield Ratio(what, f"{revision} after its UPDATE", ours, last, "s", 2.5)
    if not (lab.server.binaries / "psql").exists():
        say("rivals: left out, because this PostgreSQL has no psql")
        return
    constraints, guide = best(
        lambda: cloned(lambda: lab.aoc("rival", "upgrade", "concelier", "concelier_0004")),
        lambda: cloned(lambda: psql(lab, "rival")),
    )
    yield Ratio("constraints and key", "our own scripts, with psql", constraints, guide, "s", 1.25)
    lab.drop("rival")


def alembic(lab: Lab, database: str, changes: Sequence[str] = (), *words: str) -> None:
    """Run stock Alembic on a project of one naive revision; by default upgrade to it, in one transaction."""
    folder = lab.folder / "naive"
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(ENVIRONMENT, encoding="utf-8")
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {folder}\n", encoding="utf-8")
    body = dedent("""\
        from alembic import op
        revision, down_revision = "naive", None

        def upgrade():
            for statement in {statements!r}:
                op.get_bind().exec_driver_sql(statement)
        """)
    text = body.format(statements=[statement.replace("%", "%%") for statement in changes])
    (versions / "naive.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "alembic", "-c", str(folder / "alembic.ini"), *(words or ("upgrade", "head"))]
    run(command, NAIVE_URL=lab.server.url(database).replace("postgresql://", "postgresql+psycopg://"))


def psql(lab: Lab, database: str) -> None:
    """Run what the guide says: the duplicate audit, then the constraints."""
    for script, more in (
        ("check-advisory-raw-duplicates.sql", ["-v", "LIMIT=200"]),
        ("apply-aoc-constraints.sql", []),
    ):
        path = str(ROOT / "scripts" / script)
        run([str(lab.server.binaries / "psql"), "-X", "-q", "-d", lab.server.url(database), "-f", path, *more])

"""What a command sends to the coordinator about our tables, in a form that is the same in every run."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.conftest import ROOT, Aoc, Database
from tests.faults.proxy import Proxy, Then

GOLDEN = ROOT / "tests" / "golden" / "citus"
_KEPT = (
    r"^DO \$aoc\$\n(?!DECLARE made)",
    r"^SET LOCAL (citus\.|enable_)",
    r"""(?<!')"public"\."({}(_quarantine)?|advisory|advisory_backup_20251028|aoc_supersedes_journal|aoc_work_list)"(?!')""",
    r'^UPDATE "public"\."aoc_migration_state"',
)
"""Blocks of revisions; settings for the workers; a table of the services or the journal, as a name; the cursor."""
_LEFT_OUT = ("DO $aoc_probe$", "DO $aoc$\nDECLARE made")
"""Blocks that are the same for every table: they try rows, and create our own tables."""


def recorded(database: Database, aoc: Aoc, act: Callable[[Aoc], None]) -> list[str]:
    """Return the statements about these tables that ``act`` sends, each once, in the order of their first time."""
    requests = list[str]()

    def listen(sql: str) -> Then:
        requests.append(sql)
        return Then.PASS

    info = database.connection.info
    with Proxy(info.host, info.port, listen) as proxy:
        url = database.url.replace(f":{info.port}/", f":{proxy.port}/") + "?sslmode=disable&gssencmode=disable"
        act(Aoc(aoc.environment | {f"{database.target.upper()}_DATABASE_URL": url}))
    kept = re.compile("|".join(_KEPT).format(database.table))
    requests = [re.sub(r"\btable \d+", "table OID", sql) for sql in requests]
    return [sql for sql in dict.fromkeys(requests) if kept.search(sql) and not sql.startswith(_LEFT_OUT)]


def write(path: Path, statements: Iterable[str]) -> None:
    """Write statements to a golden file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n\n".join(f"{sql};" for sql in statements) + "\n", encoding="utf-8")


def read(path: Path) -> list[str]:
    """Return the statements of a golden file."""
    return path.read_text(encoding="utf-8").removesuffix(";\n").split(";\n\n") if path.exists() else []

"""`repair` and `dedupe` clean any dirty table without losing a row, and both restores give the table back."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aoc_migrate.database.limits import Flags
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.quarantine.dedupe import DedupeOptions, run_dedupe
from aoc_migrate.quarantine.repair import RepairOptions, run_repair
from aoc_migrate.quarantine.restore import run_restore
from aoc_migrate.report.model import Report
from aoc_migrate.run.audit import run_audit
from aoc_migrate.run.target_run import Options, Verb, on_target
from tests.conftest import Database
from tests.helpers import dump
from tests.test_predicates import BLANKS, FORBIDDEN, faults

MIRRORS = {"source_vendor": ("source", "vendor"), "upstream_id": ("upstream", "upstream_id")}
MIRRORS["content_hash"] = ("upstream", "content_hash")
OBJECTS = ("source", "upstream", "linkset", "content", "identifiers")
KEY = ("tenant", "source_vendor", "upstream_id", "content_hash")

nothing = st.sampled_from([None, "", " \t", "\n"])
odd = st.sampled_from([None, "null", "[]", "5", '"severity"', '["severity", {"effective_x": 1}]'])
extra = st.sampled_from([{}, {}, {}, {"severity": "high"}, {"effective_x": 1, "raw": {"severity": 1}}])


def mostly(usual: Any, else_: Any) -> Any:
    """Draw from the first three times of four."""
    return st.integers(0, 3).flatmap(lambda n: usual if n else else_)


def envelope(**fields: Any) -> Any:
    """Draw a JSON column as text: an object with the fields and perhaps a key too much, or something else."""
    value = mostly(st.sampled_from(["a", "b"]), st.sampled_from(["", " ", 5, None, {"x": 1}, "x" * 2700]))
    fixed = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, value))
    return mostly(st.builds(lambda one, two: json.dumps(one | two), fixed, extra), odd)


row = st.fixed_dictionaries(
    {
        "tenant": mostly(st.sampled_from(["t", "u"]), nothing),
        "source_vendor": mostly(st.sampled_from(["a", "b"]), nothing),
        "upstream_id": mostly(st.sampled_from(["a", "x" * 2640]), nothing),
        "content_hash": mostly(st.just("h"), nothing),
        "retrieved_at": mostly(st.sampled_from(["2025-01-01", "2025-01-02"]), st.none()),
        "source": envelope(vendor=1),
        "upstream": envelope(upstream_id=1, content_hash=1),
        "linkset": envelope(aliases=1),
        "content": envelope(raw=1),
        "identifiers": envelope(cve=1),
        "supersedes": st.sampled_from([None, "r0", "r1", "r2", "r3", "r4", "gone"]),
    }
)


def repaired(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return a row as it is repaired (issue text), or None where it has to move."""
    new = dict(row)
    for column, (holder, field) in MIRRORS.items():
        document = json.loads(row[holder] or "null")
        field_value = document.get(field) if isinstance(document, dict) else None
        if not (row[column] or "").strip(BLANKS) and isinstance(field_value, str) and field_value.strip(BLANKS):
            new[column] = field_value
    for column in OBJECTS:
        document = json.loads(row[column] or "null")
        if isinstance(document, dict):
            kept = {k: v for k, v in document.items() if k not in FORBIDDEN and not k.startswith("effective_")}
            new[column] = json.dumps(kept)
        elif row[column] == "null" and column in ("content", "identifiers"):
            new[column] = None
    shared = sum(len(new[column] or "") for column in KEY[:3])
    long = shared + max(len(new["id"]), len(new[KEY[3]] or "")) > 2640
    return None if faults(new) or long else new


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its link, JSON as what it means."""
    return {k: json.loads(v) if k in OBJECTS and v else v for k, v in row.items() if k != "supersedes"}


def stored(database: Database, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of the raw table by id, in the shape of the drawn ones."""
    listed = ", ".join(f"{name}::text" for name in names)
    found = database.rows(
        f"SELECT {listed.replace('retrieved_at::text', 'retrieved_at::date::text')} FROM vex_raw"
    )
    return {values[0]: dict(zip(names, values, strict=True)) for values in found}


def call(database: Database, verb: Verb) -> Report:
    """Run a verb in this process."""
    options = Options(flags=Flags(allow_supersedes_retrofit=True))
    report = on_target(Target("excititor", database.url), "test", options, verb)
    assert not report.errors, report.findings
    return report


def put_back(session: Session, report: Report) -> None:
    """Restore the latest run."""
    run_restore(session, report, "repair", None, apply=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(row, min_size=1, max_size=7), keep=st.sampled_from(["earliest", "latest"]))
def test_any_dirty_table_comes_clean_and_comes_back(
    excititor: Database, drawn: list[dict[str, Any]], keep: str
) -> None:
    """Repaired rows are as the envelope says, the audit is clean, each row is in one place, and all goes back."""
    excititor.run("DROP TABLE IF EXISTS vex_raw_quarantine; TRUNCATE vex_raw")
    excititor.run("ALTER TABLE vex_raw ADD COLUMN IF NOT EXISTS supersedes text")
    rows = [{"id": f"r{n}", **values} for n, values in enumerate(drawn)]
    names = list(rows[0])
    for values in rows:
        marks = ", ".join(["%s"] * len(names))
        excititor.run(
            f"INSERT INTO vex_raw ({', '.join(names)}) VALUES ({marks})", [values[name] for name in names]
        )
    before = dump(excititor)

    call(excititor, lambda s, r: run_repair(s, r, RepairOptions(), apply=True))

    expected = {values["id"]: new for values in rows if (new := repaired(values)) is not None}
    found = stored(excititor, names)
    assert {id_: plain(values) for id_, values in found.items()} == {k: plain(v) for k, v in expected.items()}
    left = set(found)
    assert not [v for v in found.values() if v["supersedes"] in {f"r{n}" for n in range(len(rows))} - left]

    call(excititor, lambda s, r: run_dedupe(s, r, DedupeOptions(keep, different=True), apply=True))

    call(excititor, run_audit)
    found = stored(excititor, names)
    assert len({tuple(v[c] for c in KEY) for v in found.values()}) == len(found)
    moved = excititor.rows("SELECT id FROM vex_raw_quarantine WHERE quarantine_repaired IS NULL")
    assert sorted([*found, *(id_ for (id_,) in moved)]) == sorted(v["id"] for v in rows)
    while excititor.value("SELECT EXISTS (SELECT FROM vex_raw_quarantine)"):
        call(excititor, put_back)
    assert dump(excititor) == before
    assert excititor.value("SELECT count(*) FROM vex_raw_quarantine") == 0

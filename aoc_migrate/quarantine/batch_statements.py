"""The statements of batches: each takes rows off the work list, and moves or repairs those that still qualify."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import WORK
from aoc_migrate.database.session import Session
from aoc_migrate.quarantine.row_batches import AFTER, SIZE
from aoc_migrate.quarantine.work_list import Work, digest

QUARANTINE_COLUMNS = (
    "quarantine_run, quarantine_batch, quarantine_by, quarantine_reason, quarantine_kept, quarantine_links, "
    "quarantine_repaired"
)
RUN_VALUES = (
    "current_setting('aoc.run')::bigint, pg_current_xact_id()::text::bigint, "
    "current_user || '@' || current_setting('aoc.by')"
)
_COUNTS = (
    "(SELECT count(*) FROM was) AS chosen, (SELECT count(*) FROM {}) AS written, "
    "(SELECT count(*) FROM kept) AS arrived, (SELECT max(listed_id) FROM listed) AS last"
)


def _take_from_list(session: Session, repair: bool) -> str:
    kind, listed = "repair" if repair else "NOT repair", session.schema[WORK]
    chosen = f"SELECT id FROM {listed} WHERE {kind} AND id >= {AFTER}::text ORDER BY id LIMIT {SIZE}"
    returned = "id AS listed_id, kept, links, reason"
    return f"DELETE FROM {listed} WHERE {kind} AND id IN ({chosen}) RETURNING {returned}"


def repair_batch(session: Session, contract: Contract, work: Work, columns: list[str]) -> str:
    """Return one batch of repairs. The original goes into quarantine with a digest of each value that changed."""
    return f"""WITH listed AS ({_take_from_list(session, True)}
), was AS ({work.repairing}
), new AS (SELECT t.id, {", ".join(f"{value} AS {c}" for c, value in work.repaired.items())} FROM was AS t
), repaired AS (
  UPDATE {session.schema[contract.table]} AS t SET {", ".join(f"{c} = n.{c}" for c in work.repaired)} FROM new AS n
  WHERE t.id = n.id RETURNING t.id
), kept AS (
  INSERT INTO {session.schema[contract.quarantine]} ({", ".join(columns)}, {QUARANTINE_COLUMNS})
  SELECT {", ".join(f"w.{column}" for column in columns)}, {RUN_VALUES}, l.reason, NULL, '{{}}',
    {changes(work)}
  FROM repaired m JOIN was w ON w.id = m.id JOIN new n ON n.id = m.id JOIN listed l ON l.listed_id = m.id
  RETURNING id
)
SELECT (SELECT count(*) FROM listed) AS seen, {_COUNTS.format("repaired")}"""


def changes(work: Work) -> str:
    """Return the SQL object of a digest of each value in which rows w and n, the repaired one, differ."""
    changed = ", ".join(f"('{c}', w.{c}::text, n.{c}::text)" for c in work.repaired)
    return (
        f"coalesce((SELECT jsonb_object_agg(name, {digest('after')}) FROM (VALUES {changed}) AS v "
        "(name, before, after) WHERE before IS DISTINCT FROM after), '{}')"
    )


def move_batch(session: Session, contract: Contract, work: Work, columns: list[str]) -> str:
    """Return one batch of moves. Rows that linked to a moved row then link to the row that replaces it.

    No row arrives if others have added a column to the table since ``columns`` were listed.
    """
    table, link = session.schema[contract.table], contract.link
    repoint = "SELECT NULL::text AS id, NULL::text AS was WHERE false"
    if link in catalog.columns(session, contract.table):
        repoint = (
            f"UPDATE {table} AS p SET {link} = CASE WHEN p.id = m.kept THEN NULL ELSE m.kept END "
            "FROM (SELECT o.id, l.kept, unnest(l.links) AS pointing "
            "FROM listed l JOIN moved o ON o.id = l.listed_id) AS m "
            f"WHERE p.id = m.pointing AND p.{link} = m.id "
            "AND NOT EXISTS (SELECT FROM moved AS o WHERE o.id = p.id) "
            f"AND NOT EXISTS (SELECT FROM {session.schema[WORK]} AS s WHERE s.id = p.id AND s.stuck) "
            "RETURNING p.id, m.id AS was"
        )
    return f"""WITH listed AS ({_take_from_list(session, False)}
), was AS ({work.moving}
), moved AS (DELETE FROM {table} AS t USING was AS w WHERE t.id = w.id RETURNING t.*
), pointed AS ({repoint}
), kept AS (
  INSERT INTO {session.schema[contract.quarantine]} ({", ".join(columns)}, {QUARANTINE_COLUMNS})
  SELECT {", ".join(f"m.{column}" for column in columns)}, {RUN_VALUES}, l.reason, l.kept,
    ARRAY(SELECT p.id FROM pointed p WHERE p.was = m.id), NULL
  FROM moved m JOIN listed l ON l.listed_id = m.id WHERE {len(columns)} = (SELECT count(*) FROM pg_attribute
    WHERE attrelid = {table.literal}::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '')
  RETURNING id
)
SELECT (SELECT count(*) FROM listed) AS seen, {_COUNTS.format("moved")}"""

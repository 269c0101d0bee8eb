"""Logical replication of our tables: what an upgrade or a downgrade would break on the other side, or here."""

from collections.abc import Collection, Iterator

from aoc_migrate.contract.model import Contract, ViewSwap
from aoc_migrate.database.bookkeeping import BOOKKEEPING, WORK
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.session import Row, Session
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import Finding, finding

PUBLISHED, SUBSCRIBED = "published-table", "subscribed-table"


def replicated(schema: Schema, raw: Relation, swap: ViewSwap | None, own: Collection[str] = BOOKKEEPING) -> str:
    """Return a query of (slug, object, names): our replicated tables, and their publications or subscriptions.

    With ``published-bookkeeping``, the object is a publication of whatever the schema contains, and ``names`` are
    those of our ``own`` tables that do not exist yet.
    """
    swapped = [schema[name] for name in (swap.view, swap.backup)] if swap else []
    tables = ", ".join(f"to_regclass({table.literal})" for table in (raw, *swapped))
    ours = ", ".join(f"({literal(name)}, to_regclass({schema[name].literal}))" for name in own)
    subscribed = (
        "array_agg(DISTINCT quote_ident(subname)) FROM {0} JOIN pg_subscription_rel ON srrelid = {0}.oid "
        "JOIN pg_subscription s ON s.oid = srsubid GROUP BY 2"
    )
    return f"""
WITH RECURSIVE own (object, oid) AS (VALUES {ours}), family (oid, object) AS (
  SELECT oid, relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND oid IN ({tables})
  UNION ALL SELECT inhrelid, object FROM pg_inherits JOIN family ON inhparent = oid WHERE NOT inhdetachpending
)
SELECT '{PUBLISHED}' AS slug, object, array_agg(DISTINCT quote_ident(pubname)) AS names FROM family
  JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_publication_tables t ON t.schemaname = n.nspname AND t.tablename = c.relname GROUP BY 2
UNION ALL SELECT 'published-bookkeeping', pubname, ARRAY(SELECT object FROM own WHERE oid IS NULL)
FROM pg_publication p WHERE EXISTS (SELECT FROM own WHERE oid IS NULL)
  AND (puballtables OR EXISTS (SELECT FROM pg_publication_namespace
    WHERE pnpubid = p.oid AND pnnspid = to_regnamespace({literal(str(schema))})))
UNION ALL SELECT '{SUBSCRIBED}', object, {subscribed.format("family")}
UNION ALL SELECT 'subscribed-bookkeeping', object, {subscribed.format("own")}
ORDER BY 1, 2"""


def replication_findings(
    session: Session,
    contract: Contract,
    changed: Collection[tuple[str, str]],
    swap: ViewSwap | None = None,
    own: Collection[str] = BOOKKEEPING,
) -> Iterator[Finding]:
    """Yield a finding for each replicated object that nobody has accepted.

    ``changed``: slug and table of each change that the other side would notice; our own tables always count.
    ``swap``: the legacy table's view swap. ``own``: those of our tables that the command may create.
    """
    for row in session.rows(replicated(session.schema, session.schema[contract.table], swap, own)):
        found = row["slug"], row["object"]
        if (found in changed or found[0] not in (PUBLISHED, SUBSCRIBED)) and not session.accepted.has(*found):
            yield _finding(session, contract, row)


def _finding(session: Session, contract: Contract, row: Row) -> Finding:
    slug, object_ = row["slug"], row["object"]
    values = {
        "names": ", ".join(row["names"]),
        "refresh": " ".join(f"ALTER SUBSCRIPTION {name} REFRESH PUBLICATION;" for name in row["names"]),
        "accept": option(slug, object_),
    }
    if slug == "published-bookkeeping":
        values["statements"] = _listing(session, contract, object_)
    elif slug in _TEXTS:
        of_raw, of_legacy = _TEXTS[slug]
        effect, remedy = of_raw if object_ == contract.table else of_legacy
        table, publications = session.schema[object_], row["names"] if slug == PUBLISHED else ["NAME"]
        drop = " ".join(f"ALTER PUBLICATION {name} DROP TABLE {table};" for name in publications)
        words = {"table": table, "link": contract.link, "drop": drop, "refresh": values["refresh"]}
        values |= {"effect": effect.format(**words), "remedy": remedy.format(**words)}
    return finding(slug, object_, **values)


_LISTING = """
WITH published AS (
  SELECT c.oid, c.oid::regclass::text AS name FROM pg_publication p, pg_class c
  WHERE p.pubname = %(publication)s AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384
    AND (p.puballtables OR c.relnamespace IN (SELECT pnnspid FROM pg_publication_namespace WHERE pnpubid = p.oid))
    AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
    AND NOT (c.relname = ANY (%(own)s) AND c.relnamespace = to_regnamespace(%(schema)s))
)
SELECT quote_ident(pubname) AS name, puballtables AS whole, quote_ident(pg_get_userbyid(pubowner)) AS owner,
  (SELECT string_agg(name, ', ' ORDER BY name) FROM published WHERE NOT EXISTS (SELECT FROM pg_inherits
    JOIN published AS above ON above.oid = inhparent WHERE inhrelid = published.oid)) AS tables,
  (SELECT string_agg(quote_ident(nspname), ', ' ORDER BY 1) FROM pg_publication_namespace
    JOIN pg_namespace n ON n.oid = pnnspid WHERE pnpubid = p.oid) AS schemas,
  concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
    CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END) AS events,
  pubviaroot AS via_root, to_jsonb(p)->>'pubgencols' AS generated
FROM pg_publication p WHERE pubname = %(publication)s
"""


def _listing(session: Session, contract: Contract, publication: str) -> str:
    """Return the statements that make a publication name the tables that it publishes today, without ours."""
    own = [*BOOKKEEPING, WORK, contract.quarantine]
    row = session.row(_LISTING, {"publication": publication, "own": own, "schema": str(session.schema)})
    name, tables = row["name"], row["tables"]
    if row["whole"]:
        options = f"publish = '{row['events']}'"
        options += ", publish_via_partition_root" if row["via_root"] else ""
        options += ", publish_generated_columns = stored" if row["generated"] == "s" else ""
        listed = f"FOR TABLE {tables} " if tables else ""
        changes = [
            f"DROP PUBLICATION {name};",
            f"CREATE PUBLICATION {name} {listed}WITH ({options});",
            f"ALTER PUBLICATION {name} OWNER TO {row['owner']};",
        ]
    else:
        changes = [f"ALTER PUBLICATION {name} DROP TABLES IN SCHEMA {row['schemas']};"]
        changes += [f"ALTER PUBLICATION {name} ADD TABLE {tables};"] if tables else []
    return " ".join(["BEGIN;", *changes, "COMMIT;"])


_TEXTS = {
    PUBLISHED: (
        (
            "Subscribers that have no column {link} stop at the first change after the upgrade adds it, and they "
            "receive an UPDATE for every link of the backfill.",
            "On each subscriber, run: ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {link} text; Upgrade the "
            "subscribers only after they have received everything.",
        ),
        (
            "Its name changes, and subscribers, which lack a table of the new name, stop at its next change.",
            "Nobody writes to the view, so stop publishing the table: {drop} Then, on each subscriber: "
            "ALTER SUBSCRIPTION NAME REFRESH PUBLICATION;",
        ),
    ),
    SUBSCRIBED: (
        (
            "After the upgrade, the first row that breaks the contract stops the subscription, and with it all of "
            "its tables.",
            "Upgrade the publisher first, so that it sends no such rows, and wait until this database has "
            "received everything. On the publisher: SELECT slot_name, pg_current_wal_lsn() - confirmed_flush_lsn "
            "AS bytes FROM pg_replication_slots;",
        ),
        (
            "Its name changes, and the next change that arrives for it stops the subscription, and with it all of "
            "its tables.",
            "Nobody writes to the view, so stop publishing the table. On the publisher: {drop} Then here: "
            "{refresh}",
        ),
    ),
}
"""Effect and remedy, for the raw table and for the legacy table."""

"""`dedupe`: move the surplus rows of duplicate groups into quarantine; one row of each group stays."""

from dataclasses import dataclass, fields
from functools import partial

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.duplicates import IDS_SHOWN, candidates
from aoc_migrate.quarantine.apply import apply_work, show_work, under_lock_if, usable_contract
from aoc_migrate.quarantine.work_list import DUPLICATE, Work, linking_rows
from aoc_migrate.report.facts.raw_rows import DedupeFacts, DuplicateGroup
from aoc_migrate.report.model import Next, Report, finding


@dataclass(frozen=True)
class DedupeOptions:
    """``keep``: earliest or latest. ``different``: also move rows that differ from the one that stays."""

    keep: str = "earliest"
    different: bool = False
    limit: int = 200

    def typed(self) -> str:
        """Return the options that choose the same rows, as one types them; nothing for the default."""
        keep = "" if self.keep == "earliest" else f" --keep {self.keep}"
        return f"{keep}{' --include-different' if self.different else ''}"


def run_dedupe(session: Session, report: Report, options: DedupeOptions, *, apply: bool) -> None:
    """Show the surplus rows; with ``apply``, move them."""
    under_lock_if(session, report, partial(_dedupe, session, report, options, apply=apply), writes=apply)


def _dedupe(session: Session, report: Report, options: DedupeOptions, *, apply: bool) -> None:
    contract = usable_contract(session, report)
    if contract is None:
        return
    target = session.target.name
    work = dedupe_work(session, contract, options.keep, different=options.different)

    def find() -> bool:
        found = find_duplicates(session, contract, options.keep, options.limit)
        report.put(found)
        if found.different and not options.different:
            report.findings.append(finding("duplicates-differ", contract.table, rows=found.different))
        return bool(found.surplus)

    if apply:
        apply_work(session, report, contract, work, find)
    elif show_work(session, report, contract, work, find):
        report.next = Next(choices=(f"aoc-migrate dedupe {target}{options.typed()} --apply",))


_FETCH_COLUMNS = ("id", "retrieved_at", "created_at")  # two fetches of one document differ in these


def dedupe_work(session: Session, contract: Contract, keep: str, *, different: bool) -> Work:
    """Return the work of moving surplus rows; ``different``: also those that differ from the one that stays."""
    table, key = session.schema[contract.table], contract.idempotency_key
    same = "true" if different else "differs = '{}'"
    listed = (
        f"SELECT id, kept, links, '{DUPLICATE}' AS reason, false AS repair, false AS refused "
        f"FROM ({surplus(session, contract, keep)}) AS s WHERE {same}"
    )
    moving = (
        f"SELECT t.* FROM listed AS l JOIN {table} AS t ON t.id = l.listed_id JOIN {table} AS k ON k.id = l.kept "
        f"WHERE ({', '.join(f't.{c}' for c in key)}) = ({', '.join(f'k.{c}' for c in key)}) FOR UPDATE OF t"
    )
    command = f"dedupe --keep {keep}{' --include-different' if different else ''}"
    return Work(command, listed, moving)


def surplus(session: Session, contract: Contract, keep: str) -> str:
    """Return a query of (id, kept, differs, links): all rows of duplicate groups except the one that stays.

    The row with the earliest (or latest) ``retrieved_at`` stays; if several have it, the first id in byte order.
    ``differs`` names the columns in which the two rows differ, ``links`` the rows that supersede it.
    """
    table, key = session.schema[contract.table], ", ".join(contract.idempotency_key)
    order = 'retrieved_at, id COLLATE "C"' if keep == "earliest" else 'retrieved_at DESC, id COLLATE "C"'
    digest = key_hash(contract.idempotency_key)
    linking = linking_rows(session, contract, "SELECT id FROM ranked WHERE id <> kept")
    return f"""WITH {candidates(digest, str(table))}, ranked AS MATERIALIZED (
  SELECT id, first_value(id) OVER (PARTITION BY {key} ORDER BY {order}) AS kept
  FROM {table} WHERE {digest} IN (SELECT digest FROM candidates)
), named AS ({linking})
SELECT r.id, r.kept, {_differing(session, contract)} AS differs, coalesce(n.links, '{{}}') AS links
FROM ranked r JOIN {table} t ON t.id = r.id JOIN {table} k ON k.id = r.kept LEFT JOIN named n ON n.id = r.id
WHERE r.id <> r.kept"""


def _differing(session: Session, contract: Contract) -> str:
    """Return the SQL array of the columns in which t and k differ.

    Id, times of fetching and storing, link and identity columns do not count.
    """
    ignored = session.value(
        "SELECT string_agg(quote_literal(name), ', ') FROM (SELECT unnest(%s::text[]) AS name UNION SELECT "
        "attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attidentity <> '') AS n",
        ([*_FETCH_COLUMNS, contract.link], str(session.schema[contract.table])),
    )
    value = "CASE {0}.key WHEN 'upstream' THEN {0}.value #- '{{fetched_at}}' ELSE {0}.value END"
    return (
        "ARRAY(SELECT a.key FROM jsonb_each(to_jsonb(t)) AS a JOIN jsonb_each(to_jsonb(k)) AS b ON b.key = a.key "
        f"WHERE a.key NOT IN ({ignored}) AND {value.format('a')} IS DISTINCT FROM {value.format('b')} "
        "ORDER BY a.key)"
    )


def find_duplicates(session: Session, contract: Contract, keep: str, limit: int) -> DedupeFacts:
    """Return counts over all duplicate groups, and a sample of groups."""
    session.say("looking for duplicates …")
    found = session.rows(
        f"""SELECT kept AS stays, count(*) AS rows,
  (array_agg(id ORDER BY id COLLATE "C"))[1:{IDS_SHOWN}] AS moves,
  sum(cardinality(links))::int AS links, string_agg(DISTINCT array_to_string(differs, ', '), '; ') AS differs,
  count(*) OVER () AS groups, (sum(count(*)) OVER ())::bigint AS surplus,
  (sum(count(*) FILTER (WHERE differs <> '{{}}')) OVER ())::bigint AS different
FROM ({surplus(session, contract, keep)}) AS s GROUP BY kept ORDER BY count(*) DESC, kept COLLATE "C" LIMIT %s""",
        (limit,),
    )
    groups, surplus_, different = (found[0][name] if found else 0 for name in ("groups", "surplus", "different"))
    names = [field.name for field in fields(DuplicateGroup)]
    sample = tuple(DuplicateGroup(*(row[name] for name in names)) for row in found)
    return DedupeFacts(groups, surplus_, different, keep, sample)

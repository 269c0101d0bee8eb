"""`dedupe`: move the surplus rows of duplicate groups into quarantine; one row of each group stays."""

from dataclasses import dataclass, fields, replace
from functools import partial

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.inspect.duplicates import IDS_SHOWN, candidates
from aoc_migrate.quarantine.apply import apply_work, show_work, under_lock_if, usable_contract
from aoc_migrate.quarantine.contents import show_unfinished
from aoc_migrate.quarantine.work_list import DUPLICATE, Work, in_shard, linking_rows
from aoc_migrate.report.facts.raw_rows import DedupeFacts, DuplicateGroup
from aoc_migrate.report.model import SHOWN, Finding, Next, Report, finding

_COUNTS = ("groups", "surplus", "different", "different_groups")
_FETCH_COLUMNS = ("id", "retrieved_at", "created_at")  # two fetches of one document differ in these
_NONE = "'{}'"


@dataclass(frozen=True)
class DedupeOptions:
    """``keep``: earliest or latest. ``different``: also move the rows of groups whose rows differ."""

    keep: str
    different: bool
    limit: int

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
    work = dedupe_work(session, contract, options.keep, different=options.different)

    def find() -> bool:
        found = find_duplicates(session, contract, options.keep, options.limit)
        report.put(found)
        return found.surplus > (0 if options.different else found.different)

    dedupe = f"aoc-migrate dedupe {session.target.name}"
    if apply:
        apply_work(session, report, contract, work, find)
    elif show_work(session, report, contract, work, find) and not show_unfinished(session, report, contract):
        report.next = Next(choices=(f"{dedupe}{options.typed()} --apply",), note=SHOWN)
    if not options.different and (differing := _differing_groups(session, report, contract, options)):
        report.findings += differing
        report.next = report.next or Next(f"{dedupe}{replace(options, different=True).typed()}")


def _differing_groups(
    session: Session, report: Report, contract: Contract, options: DedupeOptions
) -> list[Finding]:
    """Return ``duplicates-differ`` if there are groups whose rows differ. It stops no other group."""
    found = report.get(DedupeFacts)
    if found is None:  # the rest of an interrupted run was moved without a new search
        found = find_duplicates(session, contract, options.keep, options.limit)
    if not found.different:
        return []
    differing = (
        f"WITH {_pairs(session, contract, options.keep)}\n"
        f"SELECT id, kept, array_to_string(differs, ', ') AS differs FROM pairs WHERE differs <> {_NONE} "
        'ORDER BY kept COLLATE "C", id COLLATE "C"'
    )
    return [
        finding(
            "duplicates-differ",
            contract.table,
            count=found.different_groups,
            rows=found.different,
            statement=session.pasteable(differing),
            sample=session.rows(f"{differing.replace('%', '%%')} LIMIT %s", (options.limit,)),
        )
    ]


def dedupe_work(session: Session, contract: Contract, keep: str, *, different: bool) -> Work:
    """Return the work of moving surplus rows; ``different``: also those of groups whose rows differ.

    A batch locks the row that stays as well, so that nobody deletes the last row of a group while the others move,
    and compares the two again.
    """
    table, key = session.schema[contract.table], contract.idempotency_key
    spread = spread_of(session, contract.table)
    listed = (
        f"SELECT {', '.join(spread.identity)}, kept, links, "
        f"'{DUPLICATE}' AS reason, false AS repair, false AS refused "
        f"FROM ({surplus(session, contract, keep)}) AS s WHERE {'true' if different else 'NOT mixed'}"
    )
    same = f"({', '.join(f't.{c}' for c in key)}) = ({', '.join(f'k.{c}' for c in key)})"
    if not different:
        same += f" AND {_differing(session, contract)} = {_NONE}"
    moving = (
        f"SELECT t.* FROM listed AS l JOIN {table} AS t ON t.id = l.listed_id JOIN {table} AS k ON k.id = l.kept "
        f"WHERE {in_shard(spread, 't')} AND {in_shard(spread, 'k')} AND {same} FOR UPDATE OF t FOR KEY SHARE OF k"
    )
    command = f"dedupe --keep {keep}{' --include-different' if different else ''}"
    return Work(command, listed, moving)


def surplus(session: Session, contract: Contract, keep: str) -> str:
    """Return a query of (identity, kept, differs, mixed, links): rows of duplicate groups but those that stay.

    The row with the earliest (or latest) ``retrieved_at`` stays; if several have it, the first id in byte order.
    A row without ``retrieved_at`` stays only if no row of its group has one. ``differs`` names the columns in
    which a row differs from the one that stays, ``mixed`` says that some row of its group does, and ``links`` are
    the rows that supersede it.
    """
    spread = spread_of(session, contract.table)
    linking = linking_rows(session, contract, spread, "SELECT id FROM pairs")
    return f"""WITH {_pairs(session, contract, keep)}, named AS ({linking})
SELECT p.*, bool_or(p.differs <> {_NONE}) OVER (PARTITION BY p.kept) AS mixed, coalesce(n.links, {_NONE}) AS links
FROM pairs p LEFT JOIN named n ON {spread.same("n", "p")}"""


def _pairs(session: Session, contract: Contract, keep: str) -> str:
    """Return the CTEs that end in ``pairs (identity, kept, differs)``; see `surplus`."""
    table, key = session.schema[contract.table], ", ".join(contract.idempotency_key)
    spread = spread_of(session, contract.table)
    order = f'retrieved_at{"" if keep == "earliest" else " DESC"} NULLS LAST, id COLLATE "C"'
    digest, identity = key_hash(contract.idempotency_key), ", ".join(spread.identity)
    return f"""{candidates(digest, str(table), spread.column)}, ranked AS MATERIALIZED (
  SELECT {identity}, first_value(id) OVER (PARTITION BY {key} ORDER BY {order}) AS kept
  FROM {table} WHERE {digest} IN (SELECT digest FROM candidates)
), pairs AS MATERIALIZED (
  SELECT {", ".join(f"r.{c}" for c in spread.identity)}, r.kept, {_differing(session, contract)} AS differs
  FROM ranked r JOIN {table} t ON {spread.same("t", "r")} JOIN {table} k ON {spread.same("k", "r", "kept")}
  WHERE r.id <> r.kept
)"""


def _differing(session: Session, contract: Contract) -> str:
    """Return the SQL array of the columns in which t and k differ. NULL and a JSON null are the same.

    Id, times of fetching and storing, link and identity columns do not count.
    """
    rows = session.rows(
        "SELECT quote_ident(attname) || CASE atttypid WHEN 'json'::regtype THEN '::text' ELSE '' END AS name, "
        "quote_literal(attname) AS text FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attidentity = '' "
        'AND attname <> ALL (%s) ORDER BY attname COLLATE "C"',
        (str(session.schema[contract.table]), [*_FETCH_COLUMNS, contract.link]),
    )
    differ = (
        f"CASE WHEN {_compared('t', row['name'])} <> {_compared('k', row['name'])} THEN {row['text']} END"
        for row in rows
    )
    return f"array_remove(ARRAY[{', '.join(differ)}]::text[], NULL)"


def _compared(row: str, column: str) -> str:
    """Return the SQL of a value without what two fetches of one document differ in."""
    value = f"coalesce(to_jsonb({row}.{column}), 'null')"
    if column != "upstream":
        return value
    return f"CASE jsonb_typeof({value}) WHEN 'object' THEN {value} - 'fetched_at' ELSE {value} END"


def find_duplicates(session: Session, contract: Contract, keep: str, limit: int) -> DedupeFacts:
    """Return counts over all duplicate groups, and a sample of groups."""
    session.say("looking for duplicates …", "step")
    rows = surplus(session, contract, keep).replace("%", "%%")  # a column's name may contain one
    found = session.rows(
        f"""SELECT kept AS stays, count(*) AS rows,
  (array_agg(id ORDER BY id COLLATE "C"))[1:{IDS_SHOWN}] AS moves,
  sum(cardinality(links))::int AS links,
  coalesce(string_agg(DISTINCT array_to_string(differs, ', '), '; ') FILTER (WHERE differs <> {_NONE}), '')
    AS differs,
  count(*) OVER () AS groups, (sum(count(*)) OVER ())::bigint AS surplus,
  (sum(count(*) FILTER (WHERE mixed)) OVER ())::bigint AS different,
  sum(bool_or(mixed)::int) OVER () AS different_groups
FROM ({rows}) AS s GROUP BY kept ORDER BY count(*) DESC, kept COLLATE "C" LIMIT %s""",
        (limit,),
    )
    counts = {name: found[0][name] if found else 0 for name in _COUNTS}
    names = [field.name for field in fields(DuplicateGroup)]
    sample = tuple(DuplicateGroup(*(row[name] for name in names)) for row in found)
    return DedupeFacts(**counts, stays=keep, duplicates=sample)

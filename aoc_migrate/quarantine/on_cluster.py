"""The batches of `dedupe`, `repair` and --restore on a Citus cluster.

A batch is several statements in one transaction, because Citus does not let one statement write to a table of
its own and to several of ours. The first locks the rows of the batch in the raw table, so all of them see the same
rows; the transaction commits on the nodes and on the coordinator as one. Where the table is distributed, a batch
has rows of one tenant: only within a shard can rows be locked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import WORK
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.commit import commit_as_one
from aoc_migrate.database.spread.shape import Spread, spread_of
from aoc_migrate.quarantine.batch_statements import QUARANTINE_COLUMNS, changes
from aoc_migrate.quarantine.restore_obstacles import repairable, unchanged
from aoc_migrate.quarantine.row_batches import Batch
from aoc_migrate.quarantine.work_list import Work, in_shard

_LISTED = """listed AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::text[], %(kepts)s::text[], %(reasons)s::text[]) AS l (listed_id, kept, reason)
)"""
_RUN_VALUES = "%(run)s::bigint, %(batch)s::bigint, %(by)s::text"
_RUN = """SELECT current_setting('aoc.run')::bigint AS run, pg_current_xact_id()::text::bigint AS batch,
  current_user || '@' || current_setting('aoc.by') AS by"""
_DONE = {"seen": 0, "chosen": 0, "written": 0, "arrived": 0, "left": 0}


@dataclass(frozen=True)
class OnCluster:
    """The batches for the raw table of a contract, which Citus manages."""

    session: Session
    contract: Contract
    spread: Spread

    @classmethod
    def of(cls, session: Session, contract: Contract) -> "OnCluster | None":
        """Return the batches for this table; None if Citus does not manage it."""
        spread = spread_of(session, contract.table)
        return cls(session, contract, spread) if spread.placement else None

    @property
    def _raw(self) -> Relation:
        return self.session.schema[self.contract.table]

    @property
    def _quarantine(self) -> Relation:
        return self.session.schema[self.contract.quarantine]

    @property
    def _chosen(self) -> str:
        """The condition of a row ``t`` that was chosen."""
        return f"{in_shard(self.spread, 't')} AND t.id = ANY (%(chosen)s)"

    def _rows(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        return self.session.rows(re.sub(r"%(?!\(\w+\)s)", "%%", statement), values)

    def _ids(self, statement: str, values: Mapping[str, Any]) -> list[str]:
        return [row["id"] for row in self._rows(statement, values)]

    def move(self, work: Work, columns: list[str]) -> Batch:
        """Return the batch that moves the next rows of the work list.

        Rows that linked to a moved row then link to the row that replaces it.
        """

        def batch(size: int | None, _: Any) -> Row:
            values = self._take("NOT repair", size)
            if not values["ids"]:
                return _DONE
            chosen = self._ids(f"WITH {_LISTED} SELECT id FROM ({work.moving}) AS was", values)
            values |= {"chosen": chosen}
            values |= self._repoint(values)
            names, moved = ", ".join(columns), ", ".join(f"m.{column}" for column in columns)
            arrived = self._ids(
                f"""WITH {_LISTED}, moved AS (DELETE FROM {self._raw} AS t WHERE {self._chosen} RETURNING t.*)
INSERT INTO {self._quarantine} ({names}, {QUARANTINE_COLUMNS}) SELECT {moved}, {_RUN_VALUES}, l.reason, l.kept,
  ARRAY(SELECT p.id FROM unnest(%(pointing)s::text[], %(was)s::text[]) AS p (id, was) WHERE p.was = m.id), NULL
FROM moved AS m JOIN listed AS l ON l.listed_id = m.id RETURNING id""",
                values,
            )
            (left,) = self._rows(f"SELECT count(*) AS rows FROM {self._raw} AS t WHERE {self._chosen}", values)
            return self._counts(values, len(chosen) - left["rows"], len(arrived), columns)

        return batch

    def repair(self, work: Work, columns: list[str]) -> Batch:
        """Return the batch that repairs the next rows of the work list; their originals go into quarantine."""
        names, originals = ", ".join(columns), ", ".join(f"w.{column}" for column in columns)
        new = ", ".join(f"{value} AS {column}" for column, value in work.repaired.items())
        keep = f"""WITH {_LISTED}, was AS MATERIALIZED ({work.repairing}
), new AS MATERIALIZED (SELECT t.id, {new} FROM was AS t)
INSERT INTO {self._quarantine} ({names}, {QUARANTINE_COLUMNS})
SELECT {originals}, {_RUN_VALUES}, l.reason, NULL, '{{}}', {changes(work)}
FROM was AS w JOIN new AS n ON n.id = w.id JOIN listed AS l ON l.listed_id = w.id RETURNING id"""
        values_set = ", ".join(f"{column} = {value}" for column, value in work.repaired.items())
        write = f"UPDATE {self._raw} AS t SET {values_set} WHERE {self._chosen} RETURNING t.id"

        def batch(size: int | None, _: Any) -> Row:
            values = self._take("repair", size)
            if not values["ids"]:
                return _DONE
            values |= {"chosen": self._ids(keep, values)}
            written = self._ids(write, values)
            return self._counts(values, len(written), len(values["chosen"]), columns)

        return batch

    def restore(self, chosen: str, stored: list[str]) -> Batch:
        """Return the batch that restores rows of the latest one in quarantine that is ``chosen``, a condition.

        A batch that was moved before the table was distributed is restored tenant by tenant.
        """
        name, raw, link, column = self._quarantine, self._raw, self.contract.link, self.spread.column
        columns, shard = ", ".join(stored), f" AND {column} = %(tenant)s" if column else ""
        of_latest = f"{chosen} AND quarantine_run = %(run)s AND quarantine_batch = %(batch)s{shard}"
        next_rows = f"SELECT id FROM {name} WHERE {of_latest} ORDER BY id LIMIT %(size)s"
        of_batch = f"{of_latest} AND id = ANY (%(ids)s)"
        place_of = f"quarantine_run AS run, quarantine_batch AS batch, {column or 'NULL'} AS tenant"
        order = "ORDER BY quarantine_run DESC, quarantine_batch DESC LIMIT 1"
        latest = f"SELECT {place_of} FROM {name} WHERE {chosen} AND quarantine_batch <= %(after)s::bigint {order}"
        store = f"""INSERT INTO {raw} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM {name} WHERE {of_batch} AND quarantine_repaired IS NULL RETURNING id"""
        saved = f"SELECT * FROM {name} WHERE {of_batch} AND quarantine_repaired IS NOT NULL"
        same = f"""SELECT t.id FROM {raw} AS t JOIN ({saved}) AS b ON t.id = b.id
WHERE {in_shard(self.spread, "t")} AND {unchanged(self.contract, "t", "b")} FOR UPDATE OF t"""
        pointing = "unnest(quarantine_links) AS pointing"
        links = f"SELECT id, quarantine_kept AS kept, {pointing} FROM {name} WHERE {of_batch}"
        remove = f"DELETE FROM {name} WHERE {of_batch} AND id = ANY (%(chosen)s) RETURNING id"

        def batch(size: int | None, after: Any) -> Row:
            commit_as_one(self.session, self.contract.table)
            place = next(iter(self._rows(latest, {"after": after})), None)
            if place is None:
                return _DONE
            place |= {"ids": self._ids(next_rows, place | {"size": size})}
            repaired = self._ids(same, place)
            done = self._ids(store, place) + [
                id_ for id_ in repaired if self._unrepair(saved, place | {"id": id_})
            ]
            if link in catalog.columns(self.session, self.contract.table):
                self._relink(self._rows(links, place), place)
            back = self._ids(remove, place | {"chosen": done})
            seen = len(place["ids"])
            counts = {"seen": seen, "written": len(back), "chosen": len(done), "arrived": len(back)}
            return counts | {"left": seen - len(back), "last": place["batch"]}

        return batch

    def _unrepair(self, saved: str, place: Mapping[str, Any]) -> bool:
        """Give a row back the values that a repair changed. One row at a time: its document may have megabytes."""
        listed = ", ".join(
            f"CASE WHEN quarantine_repaired ? '{c}' THEN {c}::text END AS {c}" for c in repairable(self.contract)
        )
        query = (
            f"SELECT {listed}, ARRAY(SELECT jsonb_object_keys(quarantine_repaired)) AS changed FROM ({saved}) AS b"
        )
        (row,) = self._rows(f"{query} WHERE id = %(id)s", place)
        values = ", ".join(f"{column} = %({column})s" for column in row["changed"]) or "id = id"
        condition = f"{in_shard(self.spread, 't')} AND t.id = %(id)s"
        return bool(
            self._ids(f"UPDATE {self._raw} AS t SET {values} WHERE {condition} RETURNING t.id", {**row, **place})
        )

    def _relink(self, links: list[Row], place: Mapping[str, Any]) -> None:
        """Let rows link again to restored ones, where they still link to those that replaced them."""
        link, arrays = (
            self.contract.link,
            {name: [row[name] for row in links] for name in ("id", "kept", "pointing")},
        )
        self._rows(
            f"""UPDATE {self._raw} AS p SET {link} = b.id
FROM unnest(%(id)s::text[], %(kept)s::text[], %(pointing)s::text[]) AS b (id, kept, pointing)
WHERE {in_shard(self.spread, "p")} AND p.id = b.pointing
  AND p.{link} IS NOT DISTINCT FROM CASE WHEN p.id = b.kept THEN NULL ELSE b.kept END RETURNING p.id""",
            {**place, **arrays},
        )

    def _take(self, kind: str, size: int | None) -> dict[str, Any]:
        """Take the next rows of a kind off the work list; return them as arrays, with their tenant."""
        commit_as_one(self.session, self.contract.table)
        listed, column, values = self.session.schema[WORK], self.spread.column, dict[str, Any](size=size)
        of_tenant = kind
        if column:
            of_tenant += f" AND {column} = %(tenant)s"
            values["tenant"] = self.session.value(f"SELECT min({column}) FROM {listed} WHERE {kind}")
        chosen = f"SELECT id FROM {listed} WHERE {of_tenant} ORDER BY id LIMIT %(size)s"
        taken = self._rows(
            f"DELETE FROM {listed} WHERE {of_tenant} AND id IN ({chosen}) RETURNING id, kept, links, reason",
            values,
        )
        arrays = {f"{name}s": [row[name] for row in taken] for name in ("id", "kept", "reason")}
        links = {row["id"]: (row["kept"], row["links"]) for row in taken}
        return values | arrays | {"links": links} | self.session.row(_RUN)

    def _repoint(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        """Let rows that link to chosen rows link to those that replace them; return their ids and old links."""
        link, chosen = self.contract.link, {*values["chosen"]}
        pairs = [
            (pointing, was, kept)
            for was, (kept, links) in values["links"].items()
            if was in chosen
            for pointing in links
            if pointing not in chosen
        ]
        if not pairs or link not in catalog.columns(self.session, self.contract.table):
            return {"pointing": [], "was": []}
        listed = self.session.schema[WORK]
        stuck = {
            *self._ids(
                f"SELECT id FROM {listed} WHERE stuck AND id = ANY (%(ids)s)", {"ids": [p[0] for p in pairs]}
            )
        }
        arrays = zip(*(pair for pair in pairs if pair[0] not in stuck), strict=True)
        found = dict(zip(("pointing", "was", "kept"), map(list, arrays), strict=False))
        if not found:
            return {"pointing": [], "was": []}
        pointed = self._rows(
            f"""UPDATE {self._raw} AS p SET {link} = CASE WHEN p.id = m.kept THEN NULL ELSE m.kept END
FROM unnest(%(pointing)s::text[], %(was)s::text[], %(kept)s::text[]) AS m (pointing, was, kept)
WHERE {in_shard(self.spread, "p")} AND p.id = m.pointing AND p.{link} = m.was RETURNING p.id, m.was""",
            {**values, **found},
        )
        return {"pointing": [row["id"] for row in pointed], "was": [row["was"] for row in pointed]}

    def _counts(self, values: Mapping[str, Any], written: int, arrived: int, columns: list[str]) -> Row:
        """Return the counts of a batch. Nothing arrived if others have added a column that ``columns`` lack."""
        (found,) = self._rows(
            "SELECT count(*) AS columns FROM pg_attribute WHERE attrelid = to_regclass(%(raw)s) AND attnum > 0 "
            "AND NOT attisdropped AND attgenerated = ''",
            {"raw": str(self._raw)},
        )
        complete, chosen = found["columns"] == len(columns), len(values["chosen"])
        return {
            "seen": len(values["ids"]),
            "chosen": chosen,
            "written": written,
            "arrived": arrived if complete else 0,
        }

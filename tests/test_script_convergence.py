"""Upgrade scripts put back what somebody has dropped of applied revisions, and audit the rows before that."""

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill, psql
from tests.test_operator_scripts import APPLY
from tests.test_plan_script import script

RETROFIT = ("-v", "retrofit=1")
DROPPED = {
    "index": "DROP INDEX {t}_idempotency_v1",
    "chain index": "DROP INDEX {t}_chain_v1",
    "CHECK": "ALTER TABLE {t} DROP CONSTRAINT {t}_keys_v1",
    "content": "ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {t}_content_v1",
    "NOT NULL": "ALTER TABLE {t} ALTER tenant DROP NOT NULL",
    "invalid": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{t}_idempotency_v1'::regclass",
}


@pytest.mark.parametrize("words", ["{}_0004:head", "base:head"])
def test_rows_that_came_in_meanwhile_stop_the_script(words: str, target_with_chain: Database) -> None:
    """Rows that constraints and index would have refused stop an upgrade script before it changes anything."""
    target, table = target_with_chain.target, target_with_chain.table
    assert psql(target_with_chain, APPLY).exit_code == 0
    for dropped in ("index", "CHECK", "NOT NULL"):
        target_with_chain.run(DROPPED[dropped].format(t=table))
    for id_, values in {"a": {}, "b": {}, "c": {"tenant": None, "content_hash": "sha256:c"}}.items():
        target_with_chain.add(id_, **{"upstream_id": "CVE-9", "content_hash": "sha256:0"} | values)
    target_with_chain.add("d", upstream_id=" ")
    before = fingerprint(target_with_chain.connection, without="^$")

    ran = psql(target_with_chain, script(target, words.format(target)), *RETROFIT)

    assert ran.exit_code == 3
    assert f"1 groups of rows of {table} share an idempotency key" in ran.err
    assert f'1 rows of {table} break {table}_keys_v1, for example id "d"' in ran.err
    assert f'1 rows of {table} break {table}_required_v1, for example id "c"' in ran.err
    assert fingerprint(target_with_chain.connection, without="^$") == before


@pytest.mark.alike
@pytest.mark.parametrize("dropped", DROPPED)
@pytest.mark.parametrize("start", ["{}_0005", "head"])
def test_the_script_puts_back_what_was_dropped(
    start: str, dropped: str, target_with_chain: Database, aoc: Aoc
) -> None:
    """What was dropped is put back, by a script that starts at that revision and by one that ends there."""
    target, start = target_with_chain.target, start.format(target_with_chain.target)
    fill(target_with_chain, 50)
    assert psql(target_with_chain, script(target, f"base:{start}"), *RETROFIT).exit_code == 0
    target_with_chain.run(DROPPED[dropped].format(t=target_with_chain.table))
    printed = script(target, "base:head" if start == "head" else f"{start}:head")

    ran, again = (psql(target_with_chain, printed, *RETROFIT) for _ in range(2))

    assert (ran.exit_code, again.exit_code) == (0, 0), ran.err + again.err
    assert ("nothing to do" in ran.out, "nothing to do" in again.out) == (False, True)
    assert aoc.json("verify", target).slugs("error") == []

"""Version 1 of the contract, written down a second time: from what the guide asks, not from the code."""

import pytest

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.contract.rules import Check
from aoc_migrate.contract.v1 import ADVISORY_RAW, ADVISORY_VIEW, VEX_RAW
from tests.adversary import FORBIDDEN, OBJECTS, REQUIRED, TEXTS
from tests.conftest import Database

BOTH = pytest.mark.parametrize("contract", [ADVISORY_RAW, VEX_RAW], ids=lambda contract: contract.table)
TYPES = {
    **dict.fromkeys([*TEXTS, "supersedes"], "text"),
    **dict.fromkeys(["retrieved_at", "created_at"], "timestamptz"),
    **dict.fromkeys(OBJECTS, "jsonb"),
}
KNOWN_KEYS = {
    "source": "vendor stream api collector_version",
    "upstream": "upstream_id document_version content_hash fetched_at signature",
    "linkset": "aliases purls cpes references reconciled_from",
    "content": "format spec_version raw",
    "identifiers": "cve ghsa aliases",
}


@BOTH
def test_the_envelope_has_these_columns(contract: Contract) -> None:
    """Each column has its type, its default, and the keys that documents have, none of them forbidden."""
    columns = {column.name: column for column in contract.columns}

    assert len(columns) == len(contract.columns)
    assert {name: column.type for name, column in columns.items()} == TYPES
    assert {name for name, column in columns.items() if column.required} == {"id", *REQUIRED}
    assert {name: column.default for name, column in columns.items() if column.default} == {"created_at": "now()"}
    assert {n: " ".join(c.harmless) for n, c in columns.items() if c.harmless} == KNOWN_KEYS
    assert not {key for keys in KNOWN_KEYS.values() for key in keys.split()} & {*FORBIDDEN}


@BOTH
def test_the_contract_sorts_its_columns(contract: Contract) -> None:
    """NOT NULL, not blank, an object: each list has the columns that the guide names."""
    assert list(contract.required) == REQUIRED
    assert list(contract.keys) == TEXTS
    assert [column.name for column in contract.objects] == OBJECTS
    assert (contract.document, contract.link) == ("content", "supersedes")
    assert (sorted(contract.forbidden_keys), contract.forbidden_prefix) == (sorted(FORBIDDEN), "effective_")
    assert contract.mirrors == (
        ("source_vendor", "source", "vendor"),
        ("upstream_id", "upstream", "upstream_id"),
        ("content_hash", "upstream", "content_hash"),
    )


@BOTH
def test_rows_are_identified_and_chained_by_these_keys(contract: Contract) -> None:
    """A document is stored once by tenant, vendor, upstream id and hash; a chain goes by time, then id."""
    unique, chain = contract.idempotency_index(), contract.chain_index()

    assert (unique.name, unique.unique) == (f"{contract.table}_idempotency_v1", True)
    assert unique.columns == ("tenant", "source_vendor", "upstream_id", "content_hash")
    assert (chain.name, chain.unique) == (f"{contract.table}_chain_v1", False)
    assert chain.columns == ("tenant", "source_vendor", "upstream_id", "retrieved_at", 'id COLLATE "C"')
    assert contract.chained() == (
        "tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL"
    )


@BOTH
def test_names_carry_table_and_version(contract: Contract) -> None:
    """Constraints and their functions are named after the table, the rule and the version."""
    table = contract.table
    checks = {check.name: (check.function, check.columns) for check in contract.checks()}

    assert list(checks.items()) == [
        (f"{table}_keys_v1", (f"{table}_keys_ok_v1", (*TEXTS, "retrieved_at"))),
        (f"{table}_objects_v1", (f"{table}_objects_ok_v1", ("source", "upstream", "linkset", "identifiers"))),
        (f"{table}_required_v1", ("", tuple(REQUIRED))),
        (f"{table}_content_v1", (f"{table}_content_ok_v1", ("content",))),
    ]
    assert [check.name for check in contract.row_checks()] == [f"{table}_keys_v1", f"{table}_objects_v1"]
    assert all(contract.check(name).name == name for name in checks)
    assert contract.quarantine == f"{table}_quarantine"
    assert contract.required_check().predicate == " AND ".join(f"{column} IS NOT NULL" for column in REQUIRED)
    assert contract.check(f"{table}_keys_v1").parameters == ", ".join(
        f"{c} {TYPES[c]}" for c in [*TEXTS, "retrieved_at"]
    )


def test_keys_are_compared_byte_by_byte() -> None:
    """The fast path compares the least and the greatest key in the collation C, whatever the database's is."""
    listed = ", ".join(f'{key} COLLATE pg_catalog."C"' for key in TEXTS)

    assert f"least({listed}) OPERATOR(pg_catalog.>=) '!'" in ADVISORY_RAW.not_blank()
    assert f"greatest({listed}) OPERATOR(pg_catalog.<) '~'" in ADVISORY_RAW.not_blank()


def test_each_parameter_of_a_check_has_its_type() -> None:
    """A check whose function would have parameters without a type cannot be written."""
    lacking = Check("n", "true", ("tenant", "id"), ("text",), "f")

    with pytest.raises(ValueError, match="shorter"):
        _ = lacking.parameters


def test_an_unknown_check_has_no_name() -> None:
    """A name that this version does not have is an error."""
    with pytest.raises(KeyError):
        ADVISORY_RAW.check("advisory_raw_keys_v2")


def test_the_view_replaces_the_legacy_table() -> None:
    """The view has the name of the legacy table, which stays under the name that the guide gives it."""
    assert (ADVISORY_VIEW.view, ADVISORY_VIEW.backup) == ("advisory", "advisory_backup_20251028")
    assert (ADVISORY_RAW.table, VEX_RAW.table) == ("advisory_raw", "vex_raw")


def test_a_hash_depends_on_every_column() -> None:
    """Each column seeds the hash of the next one, so NULL in one of them makes it NULL."""
    assert key_hash([]) == "0"
    assert key_hash(["a", "b"]) == "hashtextextended(b, hashtextextended(a, 0))"


@BOTH
@pytest.mark.parametrize("longest", ["id", "content_hash"])
def test_keys_are_too_long_from_one_byte_on(contract: Contract, longest: str, empty_database: Database) -> None:
    """2,640 bytes fit: of the chain's key, and of the longer one of id and content_hash."""
    keys = {**dict.fromkeys(("tenant", "source_vendor", "upstream_id"), "é" * 300), "id": "x", "content_hash": "x"}
    found = []

    for length in (840, 841):
        row = keys | {longest: "x" * length}
        values = ", ".join(f"%({key})s AS {key}" for key in row)
        found.append(empty_database.value(f"SELECT {contract.too_long()} FROM (SELECT {values}) AS r", row))

    assert found == [False, True]

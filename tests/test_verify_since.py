"""What the audit checked once, and others have changed since, is found by verify."""

import pytest

from tests.conftest import Aoc, Database

RIGHTS = {
    "a column": ("GRANT UPDATE (supersedes) ON advisory_raw TO {role}", "verifier-can-write"),
    "a column of a new row": ("GRANT INSERT (id) ON advisory_raw TO {role}", "verifier-can-write"),
    "a key": ("GRANT REFERENCES (id) ON advisory_raw TO {role}", "verifier-can-write"),
    "PUBLIC": ("GRANT DELETE ON advisory_raw TO PUBLIC", "verifier-can-write"),
    "membership": ("GRANT pg_write_all_data TO {role}", "verifier-too-privileged"),
    "membership without its rights": (
        "ALTER ROLE {role} NOINHERIT; GRANT {owner} TO {role}",
        "verifier-too-privileged",
    ),
    "an attribute": ("ALTER ROLE {role} CREATEROLE", "verifier-too-privileged"),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", RIGHTS)
def test_rights_that_the_verifier_gained_are_found(case: str, concelier: Database, aoc: Aoc) -> None:
    """verify finds whatever lets the verifier write to the raw table, also on a column or through another role."""
    pid = concelier.connection.info.backend_pid
    role, owner = f"gained_{pid}", f"writers_{pid}"
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(f"CREATE ROLE {owner}; CREATE ROLE {role}; GRANT SELECT ON advisory_raw TO {role}")
    before = aoc.json("verify", AOC_VERIFIER_USER=role)
    grant, slug = RIGHTS[case]
    concelier.run(grant.format(role=role, owner=owner))

    ran = aoc.json("verify", AOC_VERIFIER_USER=role)
    concelier.run(f"DROP OWNED BY {role}; DROP ROLE {role}; DROP ROLE {owner}")

    assert (before.exit_code, before.slugs("error")) == (0, [])
    assert (ran.exit_code, slug in ran.slugs("error")) == (1, True)


SINCE = {
    "forbidden-column": ("ADD severity text", 1),
    "unguarded-column": ("ADD extra jsonb", 0),
    "column-missing": ("DROP identifiers", 1),
    "primary-key-missing": ("DROP CONSTRAINT advisory_raw_pkey", 1),
}


@pytest.mark.alike
@pytest.mark.parametrize("slug", SINCE)
def test_verify_checks_the_shape_again(slug: str, concelier: Database, aoc: Aoc) -> None:
    """What the audit refuses in the table itself is found by verify if it comes later."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    alter, exit_code = SINCE[slug]
    concelier.run(f"ALTER TABLE advisory_raw {alter}")

    ran = aoc.json("verify")

    assert (ran.exit_code, slug in ran.slugs()) == (exit_code, True)

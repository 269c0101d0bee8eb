"""Policies and the verifier: what hides rows from it or shows it more is found, and each verifier has its own."""

from collections.abc import Iterator

import pytest

from tests.conftest import Aoc, Database
from tests.test_verifier import ROLE, as_verifier, migrated, password_file

__all__ = ["migrated", "password_file"]
ANOTHER = "another-verify"
HIDING = ("tenant = current_setting('app.tenant_id', true)", "source_vendor <> 'osv'")


@pytest.mark.alike
@pytest.mark.parametrize("tenant", [(), ("--tenant", "default")], ids=["all rows", "one tenant"])
@pytest.mark.parametrize("hiding", HIDING)
def test_a_restrictive_policy_is_found(
    hiding: str, tenant: tuple[str, ...], migrated: Database, aoc: Aoc, password_file: str
) -> None:
    """Where a restrictive policy of others may hide rows, verification refuses to judge, and check says so."""
    migrated.run(
        f"ALTER TABLE {migrated.table} ENABLE ROW LEVEL SECURITY; "
        f"CREATE POLICY app ON {migrated.table} USING (true); "
        f"CREATE POLICY hides ON {migrated.table} AS RESTRICTIVE USING ({hiding})"
    )
    aoc("verifier", "create", *tenant, "--password-file", password_file)

    own = as_verifier(aoc, migrated)

    verified, checked = (who.json(*words) for who, *words in ((own, "verify"), (aoc, "verifier", "check")))

    assert (verified.exit_code, verified.slugs("error")) == (1, ["row-level-security"])
    assert "row-level security" in checked.finding("verifier-lacks-privileges")["problem"]
    migrated.run(f"DROP POLICY hides ON {migrated.table}")
    assert own("verify").exit_code == 0


SERVICES = (
    "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY; "
    "CREATE POLICY services ON {0} USING (tenant = current_setting('app.tenant_id', true))"
)


@pytest.fixture
def limited(migrated: Database, aoc: Aoc, password_file: str) -> Iterator[Aoc]:
    """A verifier of the tenant acme, where the services' policy shows each session the tenant that it names."""
    migrated.run(SERVICES.format(migrated.table))
    migrated.add("an acme", tenant="acme", upstream_id="CVE-8")
    migrated.add("a beta", tenant="beta", upstream_id="CVE-9")
    assert aoc("verifier", "create", "--tenant", "acme", "--password-file", password_file).exit_code == 0
    yield as_verifier(aoc, migrated)
    aoc("verifier", "drop", AOC_VERIFIER_USER=ANOTHER)


def seen_by(database: Database, role: str) -> list[str]:
    """Return the tenants that the role sees, also if it names each of them as a service does."""
    with database.connection.transaction(force_rollback=True):
        database.run(f'SET LOCAL ROLE "{role}"')
        seen = set[str]()
        for tenant in ("", "acme", "beta", "default"):
            database.run(f"SET LOCAL app.tenant_id = '{tenant}'")
            seen |= {found for (found,) in database.rows(f"SELECT tenant FROM {database.table}")}
    return sorted(seen)


@pytest.mark.parametrize("tenant", [(), ("--tenant", "beta")], ids=["all rows", "one tenant"])
def test_each_verifier_has_policies_of_its_own(
    tenant: tuple[str, ...], limited: Aoc, migrated: Database, aoc: Aoc
) -> None:
    """Creating or dropping a second verifier changes neither what the first one sees nor what its check finds."""
    for words in (("create", *tenant), ("create",), ("drop",)):
        assert aoc("verifier", *words, AOC_VERIFIER_USER=ANOTHER).exit_code == 0

        assert seen_by(migrated, ROLE) == ["acme"]
        assert (aoc.json("verifier", "check").slugs(), limited("verify").exit_code) == ([], 0)
        if words[0] == "create":
            assert seen_by(migrated, ANOTHER) == (["beta"] if tenant else ["acme", "beta", "default"])
            assert aoc.json("verifier", "check", AOC_VERIFIER_USER=ANOTHER).slugs() == []
    assert aoc("verifier", "drop").exit_code == 0
    assert not migrated.rows("SELECT polname FROM pg_policy WHERE polname ~ '^aoc_'")


@pytest.mark.parametrize("lost", ["aoc_verify_all", "aoc_verify_tenant"])
def test_half_a_limit_is_found_and_stays_a_limit(lost: str, limited: Aoc, migrated: Database, aoc: Aoc) -> None:
    """Where one of the two policies of a tenant is gone, check and verify say so, and create puts it back."""
    migrated.run(f"DROP POLICY {lost} ON {migrated.table}")

    found = aoc.json("verifier", "check").finding("verifier-limit-lost")

    assert f"create {migrated.target} --tenant acme;" in found["help"]
    assert limited.json("verify").slugs("error") == ["row-level-security"]
    assert aoc("verifier", "create").exit_code == 0
    assert (seen_by(migrated, ROLE), limited("verify").exit_code) == (["acme"], 0)


@pytest.mark.parametrize("changed", [False, True], ids=["gone", "changed"])
def test_a_lost_limit_is_never_widened(changed: bool, limited: Aoc, migrated: Database, aoc: Aoc) -> None:
    """Where nobody can know to which tenant the role was limited, create refuses until --tenant is named."""
    migrated.run(
        f"DROP POLICY aoc_verify_tenant ON {migrated.table}; DROP POLICY aoc_verify_all ON {migrated.table}"
    )
    if changed:
        migrated.run(
            f'CREATE POLICY aoc_verify_all ON {migrated.table} FOR SELECT TO "{ROLE}" '
            "USING (tenant IN ('acme', 'another'))"
        )
    before = migrated.rows("SELECT polname FROM pg_policy")

    checked, refused = aoc.json("verifier", "check"), aoc.json("verifier", "create")

    for ran in (checked, refused):
        assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["verifier-limit-lost"], False)
        assert "--tenant TENANT" in ran.finding("verifier-limit-lost")["help"]
    assert migrated.rows("SELECT polname FROM pg_policy") == before
    assert aoc("verifier", "create", "--tenant", "acme").exit_code == 0
    assert (seen_by(migrated, ROLE), limited("verify").exit_code) == (["acme"], 0)


def test_a_limit_without_row_level_security_is_found(limited: Aoc, migrated: Database, aoc: Aoc) -> None:
    """Where row-level security was turned off later, check and create say that the limit has no effect."""
    migrated.run(f"ALTER TABLE {migrated.table} DISABLE ROW LEVEL SECURITY")

    for words in ("check", "create"):
        ran = aoc.json("verifier", words)

        assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["tenant-not-limited"], False)
    assert limited("verify").exit_code == 1

"""Policies of others and the verifier: what hides rows from it is found, so that nothing passes falsely."""

import pytest

from tests.conftest import Aoc, Database
from tests.test_verifier import as_verifier, migrated, password_file

__all__ = ["migrated", "password_file"]
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

"""The contract's own functions never need a search_path; `dedupe` and `repair` ask for one where they write."""

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from tests.conftest import Aoc, Database
from tests.test_needs_search_path import ADD, NAMED, TOUCH


@pytest.mark.alike
@pytest.mark.parametrize("removal", [("constraints", "--remove"), ("downgrade", "-1"), ("downgrade", "base")])
def test_our_own_functions_are_never_found(
    removal: tuple[str, ...], target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The functions of the contract's own CHECKs are never found: at head, under a hold, on the way up again."""
    assert aoc("upgrade", **retrofit).exit_code == 0
    assert aoc.json("audit").slugs("error") == []
    words = (removal[0], target_with_chain.target, *removal[1:])
    assert aoc(*words).exit_code == 0
    assert "needs-search-path" not in aoc.json("audit", **retrofit).slugs()

    up = aoc.json("upgrade", "--release-hold", **retrofit)

    assert (up.exit_code, up.slugs("error")) == (0, [])


def test_our_functions_in_foreign_checks_are_not_found(excititor: Database, aoc: Aoc) -> None:
    """A function of the contract is not found either where a CHECK of somebody else's calls it."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    check = VEX_RAW.objects_check()
    excititor.run(f"{ADD} CONSTRAINT mine CHECK ({check.function}({', '.join(check.columns)}))")
    assert aoc("downgrade", "base").exit_code == 0

    assert aoc.json("audit").slugs("error") == []


@pytest.mark.parametrize("command", [("dedupe",), ("repair", "--rule", "all")])
def test_dedupe_and_repair_refuse_an_unaccepted_function(
    command: tuple[str, ...], excititor: Database, aoc: Aoc
) -> None:
    """Both refuse a function that their DELETE runs until it is accepted, --restore one that its INSERT runs."""
    rows = {"content_hash": "same"} if command[0] == "dedupe" else {"tenant": None}
    excititor.add("1", **rows)
    excititor.add("2", **rows)
    excititor.run(f"{TOUCH} CREATE TRIGGER t BEFORE DELETE ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()")
    excititor.run(f"{NAMED} {ADD} z text DEFAULT named('z')")
    aoc.configure(excititor)
    trigger, function = "--accept=move-trigger:t", "--accept=needs-search-path:public.touch()"

    shown, refused = aoc.json(*command, trigger), aoc.json(*command, "--apply", trigger)

    assert shown.slugs("error") == refused.slugs("error") == ["needs-search-path"]
    assert refused.finding("needs-search-path")["subject"] == "public.touch()"
    assert excititor.value("SELECT count(*) FROM vex_raw") == 2
    assert aoc(*command, "--apply", trigger, function).exit_code == 0
    back = aoc.json(command[0], "--restore")
    assert back.slugs("error") == ["needs-search-path"]
    assert back.finding("needs-search-path")["subject"] == "public.named(text)"
    assert (
        aoc(command[0], "--restore", "--apply", "--accept", "needs-search-path:public.named(text)").exit_code == 0
    )
    assert excititor.value("SELECT count(*) FROM vex_raw") == 2

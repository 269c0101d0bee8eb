"""Every command in any order, with kills, changes of others, good and bad rows: what is true after each step."""

import json
from contextlib import suppress
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aoc_migrate.revisions.graph import head
from tests.adversary import OBJECTS
from tests.fuzzing.place import Place, commands, said_by
from tests.model.breaking import FAULTS, broken
from tests.model.changes import ADVISORY, BASED_ON_OURS, KEPT, OBSTACLES, PARTITION, REPAIRED
from tests.model.world import World

BAD: dict[str, dict[str, Any]] = {
    "good": {},
    "no tenant": {"tenant": None},
    "blank": {"upstream_id": "\u3000"},
    "endless": {"retrieved_at": "infinity"},
    "forbidden": {"source": json.dumps({"severity": "low"})},
    "no object": {"linkset": "[]"},
    "forbidden in content": {"content": json.dumps({"cvss": 1})},
}
UP = st.sampled_from(["head", "head", "+1", "+2", "0001", "0003", "0004", "0006"])
DOWN = st.sampled_from(["-1", "-1", "-2", "base", "0001", "0004"])
ANY_TIME = st.sampled_from(
    [
        *(
            "audit",
            "plan",
            "status",
            "verify",
            "history",
            "quarantine",
            "chain",
            "chain --apply",
            "repair",
            "dedupe",
        ),
        *("repair --rule all --apply", "dedupe --apply", "dedupe --include-different --keep latest --apply"),
        *(
            "repair --restore --apply",
            "dedupe --restore --apply",
            "constraints --remove",
            "control",
            "wait --timeout 1ms",
        ),
    ]
)
RELEASE = st.sampled_from(["", " --release-hold"])
COMMANDS = (
    ANY_TIME
    | st.builds(lambda revision, release: f"upgrade {revision}{release}", UP, RELEASE)
    | DOWN.map(lambda revision: f"downgrade {revision}")
)
ROWS = st.fixed_dictionaries(
    {
        "upstream_id": st.sampled_from("ab"),
        "content_hash": st.sampled_from("hijklm"),
        "tenant": st.sampled_from("abc"),
        "day": st.integers(1, 9),
        "kind": st.sampled_from([*["good"] * 6, *BAD]),
        "link": st.sampled_from([None, None, "gone", "r1", "r2"]),
    }
)


class Model(RuleBasedStateMachine):
    """In any walk of commands, faults and changes, no row is lost, next leads home, and base is as it was.

    ``thorough``: ``next`` is followed after each step, on a copy; not only at the end.
    """

    place: Place
    thorough = False

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.number = 0

    @initialize(of=st.sampled_from(["concelier", "excititor"]), parted=st.booleans(), linked=st.booleans())
    def begin(self, of: str, parted: bool, linked: bool) -> None:
        """Begin with a deployment before the contract."""
        self.world = World(self.place, of, parted=parted, linked=linked)

    @property
    def here(self) -> World:
        """The world, which `begin` made."""
        assert self.world is not None
        return self.world

    def words(self, command: str) -> list[str]:
        """Return a command as it is typed for the target."""
        verb, *rest = command.split()
        ids = [f"{self.here.target}_{word}" if word.isdigit() else word for word in rest]
        return [verb, self.here.target, *ids]

    @rule(rows=st.lists(ROWS, min_size=1, max_size=4))
    def insert(self, rows: list[dict[str, Any]]) -> None:
        """Services store rows, good and bad."""
        for drawn in rows:
            self.number += 1
            key = {name: drawn[name] for name in ("tenant", "upstream_id", "content_hash")}
            good = {
                "id": f"r{self.number}",
                "source_vendor": "v",
                "retrieved_at": f"2025-01-0{drawn['day']}T00:00:00Z",
            }
            self.here.insert(good | key | dict.fromkeys(OBJECTS, "{}") | BAD[drawn["kind"]], drawn["link"])

    @rule(command=COMMANDS)
    def run(self, command: str) -> None:
        """Somebody runs a command to its end."""
        words = self.words(command)
        with self.here.connected() as database:
            ran = commands(database)(*words, "--format", "json")
            if (command, ran.exit_code) == ("downgrade base", 0):
                self.here.has_its_first_shape(database)
        said = said_by(words, ran)
        assert ran.exit_code in (0, 1, 2, 3), said
        assert ran.exit_code != 3 or words[0] == "wait", said
        assert "AOC_DEBUG" not in ran.err, said
        if (
            ran.exit_code == 0
            and words[0] == "upgrade"
            and words[2] == "head"
            and ran.report["verdict"] == "PASSED"
        ):
            assert self.here.revision() == head(self.here.target), said

    @rule(command=COMMANDS, request=st.integers(1, 150), fault=st.sampled_from(list(FAULTS)))
    def run_and_break(self, command: str, request: int, fault: str) -> None:
        """A command breaks half way, unless it ends before that."""
        with self.here.connected() as database:
            code = broken(database, commands(database), self.words(command), request, fault)
            assert code in (-9, 0, 1, 2, 3, 4), code
            if (command, code) == ("downgrade base", 0):
                self.here.has_its_first_shape(database)

    @rule(change=st.sampled_from(sorted(KEPT)))
    def others_change(self, change: str) -> None:
        """Others change the raw table, as they may."""
        self.number += 1
        self.here.change(KEPT[change], self.number, kept=True)

    @precondition(lambda self: self.world is not None and self.world.parted)
    @rule()
    def others_add_a_partition(self) -> None:
        """Others add a partition."""
        self.number += 1
        self.here.change(PARTITION, self.number, kept=True)

    @precondition(lambda self: self.world is not None and self.world.target == "concelier")
    @rule(change=st.sampled_from(sorted(ADVISORY)))
    def others_change_advisory(self, change: str) -> None:
        """Others change advisory, whether it is a table or the view."""
        self.number += 1
        self.here.change(ADVISORY[change], self.number, kept=True)

    @rule(obstacle=st.sampled_from(sorted(OBSTACLES | BASED_ON_OURS)))
    def others_are_in_the_way(self, obstacle: str) -> None:
        """Others base something on the raw table that may stop our commands."""
        self.number += 1
        found = OBSTACLES | BASED_ON_OURS
        self.here.obstruct(*found[obstacle], self.number, kept=obstacle in OBSTACLES)

    @rule()
    def others_give_way(self) -> None:
        """Others take away what they have put in the way."""
        self.here.others_give_way()

    @rule(change=st.sampled_from(sorted(REPAIRED)))
    def others_break_something(self, change: str) -> None:
        """Others change what is ours."""
        with self.here.connected() as database:
            if change == "a wrong link" and not self.here.linked(database):
                return
            if change == "no NOT NULL" and self.here.revision() is None:
                return
        self.number += 1
        with suppress(psycopg.errors.DependentObjectsStillExist):
            self.here.change(REPAIRED[change], self.number, kept=change == "another comment")

    @invariant()
    def no_row_is_lost(self) -> None:
        """Each row that was stored is in one place, and its original is kept."""
        if self.world:
            self.world.nothing_lost()

    @invariant()
    def next_leads_home(self) -> None:
        """From here, whoever types what ``next`` says ends at a verified head."""
        if self.world and self.thorough:
            self.world.leads_home_from_here()

    def teardown(self) -> None:
        """At the end, ``next`` leads home, and base has the shape and the rows of the beginning."""
        if self.world is None:
            return
        try:
            self.world.others_give_way()
            self.world.leads_home()
            self.world.nothing_lost()
            self.world.goes_back()
        finally:
            self.world.close()

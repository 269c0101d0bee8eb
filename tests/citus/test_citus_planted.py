"""A role with CREATE on the schema, on every node, plants what our SQL names: nothing of it runs anywhere."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg.conninfo import make_conninfo

from tests.citus.clusters import Cluster
from tests.conftest import Aoc, Database
from tests.faults.proxy import Proxy, Then
from tests.overloads import functions_in, operator_overloads, operators_in, overloads, plant

COMMANDS = """audit; plan; repair; dedupe; repair --rule all --apply; dedupe --apply; quarantine
dedupe --restore --apply; dedupe --apply; upgrade; verify --probe; status; chain; downgrade base; history"""
OURS = """SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
WHERE relkind = 'r' AND relname ~ '^aoc_|_quarantine$'"""
CITUS = "SELECT DISTINCT proname FROM pg_proc WHERE proname ~ '^(worker|citus|assign)_'"  # what it sends by itself
LOCALLY = "SET citus.enable_ddl_propagation TO off; "


def test_nothing_planted_on_any_node_runs(
    distributed: Database, cluster: Cluster, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """With thousands of overloads on each node, all of which raise, every command ends as without them."""
    aoc.environment |= retrofit
    requests = list[str]()

    def listen(sql: str) -> Then:
        requests.append(sql)
        return Then.PASS

    info = distributed.connection.info
    with Proxy(info.host, info.port, listen) as proxy:
        url = distributed.url.replace(f":{info.port}/", f":{proxy.port}/") + "?sslmode=disable&gssencmode=disable"
        undisturbed = all_of_it(distributed, Aoc(aoc.environment | {"CONCELIER_DATABASE_URL": url}))
    assert [outcome for outcome in undisturbed if "step-failed" in outcome] == []
    transcript = "\n".join(requests)
    of_citus = [name for (name,) in distributed.rows(CITUS)]
    made = overloads(distributed, [*functions_in(distributed, transcript), *of_citus])
    made |= operator_overloads(operators_in(distributed, transcript))
    raising = {name: text.replace("RAISE LOG", "RAISE EXCEPTION") for name, text in made.items()}
    distributed.run(f"TRUNCATE advisory_raw; DROP TABLE {distributed.value(OURS)}")

    with strangers(cluster, info.dbname) as neighbours:
        for neighbour in neighbours:
            assert plant(neighbour, raising) > 2000
        assert all_of_it(distributed, aoc) == undisturbed


def all_of_it(database: Database, aoc: Aoc) -> list[str]:
    """Store rows to link, to repair and to move, then run every command; return what must not differ."""
    for n in range(6):
        database.add(
            f"{n}", tenant=f"tenant {n % 2}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z", content_hash=f"{n}"
        )
    database.add("twin", tenant="tenant 1", content_hash="1")
    database.add("bad", upstream_id="CVE-2", source={"vendor": "osv", "severity": 1}, content_hash="bad")
    outcomes = []
    for command in COMMANDS.replace("\n", "; ").split("; "):
        verb, *words = command.split()
        ran = aoc.json(verb, "concelier", *words)
        slugs = [slug for slug in ran.slugs() if slug != "planted-object"] if ran.out else ran.err.splitlines()[-1]
        outcomes.append(f"{command}: {ran.exit_code} {slugs}")
    return outcomes


@contextmanager
def strangers(cluster: Cluster, database: str) -> Iterator[list[Database]]:
    """Give a connection to each node of one role that may create objects in schema public, and owns none."""
    with cluster.connected(database) as nodes, ExitStack() as stack:
        role = f"stranger_{nodes[0].info.backend_pid}"
        neighbours = []
        for n, node in enumerate(nodes):
            node.execute(
                LOCALLY + f"CREATE ROLE {role} LOGIN PASSWORD 's'; GRANT CREATE ON SCHEMA public TO {role}"
            )
            stack.callback(node.execute, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())
            conninfo = make_conninfo(cluster.url(n, database), user=role, password="s")
            connection = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
            connection.execute(LOCALLY)
            neighbours.append(Database(connection, "advisory_raw", "concelier"))
        yield neighbours

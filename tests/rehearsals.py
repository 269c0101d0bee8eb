"""Rehearsals through the command line, on a copy that is the test's own database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.conftest import Aoc, Database, Ran
from tests.helpers import wait_until

_GATE = """
CREATE SCHEMA gates;
CREATE FUNCTION gates.gate() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE phase text; BEGIN
  IF to_regclass('public.aoc_rehearsal') IS NOT NULL THEN
    EXECUTE 'SELECT phase FROM public.aoc_rehearsal' INTO phase;
    IF phase = '{phase}' THEN {action}; END IF;
  END IF;
END $$;
CREATE EVENT TRIGGER gate ON ddl_command_start WHEN TAG IN ({tags}) EXECUTE FUNCTION gates.gate();
"""
_INDEX = "'CREATE INDEX', 'DROP INDEX'"
_WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def copy_of(copy: Database, **more: str) -> dict[str, str]:
    """Return the environment of a rehearsal that is allowed to write links."""
    return {"AOC_COPY_URL": copy.url, "AOC_ALLOW_SUPERSEDES_RETROFIT": "true"} | more


def words(copy: Database, *more: str) -> tuple[str, ...]:
    """Return the words of a rehearsal on a database."""
    return ("rehearse", copy.target, "--copy-is", copy.connection.info.dbname, *more)


def rehearse(aoc: Aoc, copy: Database, *more: str, **environment: str) -> Ran:
    """Rehearse on a database that is no configured target."""
    return aoc.json(*words(copy, *more), **copy_of(copy, **environment))


def facts(ran: Ran) -> Any:
    """Return the facts of the only report."""
    return ran.report["facts"]


def sample(ran: Ran) -> dict[str, Any]:
    """Return what differs after the way back, by object."""
    return {row["object"]: row for row in ran.finding("way-back-differs")["sample"]}


@contextmanager
def in_phase(copy: Database, phase: str, action: str, tags: str = _INDEX) -> Iterator[None]:
    """Run a statement of PL/pgSQL before each command of some kinds in a phase, usually those on an index."""
    copy.run(_GATE.format(phase=phase, action=action, tags=tags))
    try:
        yield
    finally:
        copy.run("DROP EVENT TRIGGER gate; DROP SCHEMA gates CASCADE")


@contextmanager
def stopped_in(aoc: Aoc, copy: Database, phase: str, number: int) -> Iterator[tuple[int, str]]:
    """Rehearse, end that with a signal in a phase, and yield its exit code and its log."""
    with psycopg.connect(copy.url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(77)")
        with in_phase(copy, phase, "PERFORM pg_advisory_xact_lock_shared(77)"):
            process = aoc.start(*words(copy), **copy_of(copy))
            wait_until(lambda: bool(copy.value(_WAITS)), 60)
            process.send_signal(number)
            _, log = process.communicate(timeout=60)
            copy.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            holder.close()
            wait_until(lambda: copy.value(OTHERS) == 0)
    yield process.returncode, log

"""Keeps the plans of catalog queries that a session repeats: planning them takes longer than running them."""

from aoc_migrate.database.session import Row, Session


def again(session: Session, query: str) -> list[Row]:
    """Return the rows of a query without parameters; the transcript leaves it out.

    While the session holds the run lock, it keeps the plan (PostgreSQL 18 manual, PREPARE): a pooler could
    ask another session the next time.
    """
    if session.plans is None:
        return session.quietly(query)
    if query not in session.plans:
        name = f"aoc_plan_{len(session.plans)}"
        session.quietly(f"PREPARE {name} AS {query}")
        session.plans[query] = name
    return session.quietly(f"EXECUTE {session.plans[query]}")

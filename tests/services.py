"""Managed PostgreSQL services, imitated: a role with the rights that the service gives its administrator.

What a service withholds is revoked as far as PostgreSQL lets a superuser revoke it. Grants on functions are a
database's own, so only the test's database changes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from tests.conftest import Database

PASSWORD = "managed"
WITHHELD = ("pg_control_system()", "pg_stat_get_archiver()")
WAL = ("pg_current_wal_lsn()", "pg_current_wal_insert_lsn()", "pg_walfile_name(pg_lsn)")


@dataclass(frozen=True)
class Service:
    """A service: its own role, the attributes of its administrator's login, and the predefined roles behind both.

    ``withheld``: functions that nobody but the service itself may call.
    """

    name: str
    role: str
    attributes: str
    memberships: tuple[str, ...]
    withheld: tuple[str, ...] = WITHHELD


BOTH = ("pg_monitor", "pg_signal_backend")
SERVICES = (
    Service("Amazon RDS", "rds_superuser", "CREATEDB CREATEROLE", BOTH),
    Service("Amazon Aurora", "rds_superuser", "CREATEDB CREATEROLE", BOTH, (*WITHHELD, *WAL)),
    Service("Cloud SQL", "cloudsqlsuperuser", "CREATEDB CREATEROLE", BOTH),
    Service("AlloyDB", "alloydbsuperuser", "CREATEDB CREATEROLE", ("pg_monitor",)),
    Service("Azure Flexible Server", "azure_pg_admin", "CREATEDB CREATEROLE REPLICATION", BOTH),
    Service(
        "Neon",
        "neon_superuser",
        "CREATEDB CREATEROLE REPLICATION BYPASSRLS",
        ("pg_monitor", "pg_read_all_data", "pg_write_all_data"),
    ),
)


@contextmanager
def administrator(service: Service, database: Database) -> Iterator[str]:
    """Make the service's administrator the owner of the database and of all in it; yield the name of the login."""
    suffix = database.connection.info.backend_pid
    role, login = f"{service.role}_{suffix}", f"administrator_{suffix}"
    known = {"role": sql.Identifier(role), "login": sql.Identifier(login), "password": sql.Literal(PASSWORD)}
    known["database"] = sql.Identifier(database.connection.info.dbname)

    def run(statement: str, **more: sql.Composable) -> None:
        database.run(sql.SQL(statement).format(**known, **more))

    run(f"CREATE ROLE {{role}} NOLOGIN {service.attributes}")
    run(f"CREATE ROLE {{login}} LOGIN {service.attributes} PASSWORD {{password}} IN ROLE {{role}}")
    for membership in service.memberships:
        run("GRANT {membership} TO {role} WITH ADMIN OPTION", membership=sql.Identifier(membership))
    for function in service.withheld:
        run(f"REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC, pg_monitor, pg_read_all_stats")
    run("ALTER DATABASE {database} OWNER TO {login}")
    for (relation,) in database.rows(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'v')"
    ):
        run(f"ALTER TABLE {relation} OWNER TO {{login}}")
    try:
        yield login
    finally:
        run("ALTER DATABASE {database} OWNER TO CURRENT_USER")
        run("DROP OWNED BY {login} CASCADE")
        run("DROP ROLE {login}; DROP ROLE {role}")


def become_aurora(database: Database, *lags: float) -> None:
    """Add the function by which Aurora shows its primary and, here, a replica for each lag in milliseconds."""
    rows = ["('primary', 'MASTER_SESSION_ID', NULL::float8)"]
    rows += [f"('replica-{n}', gen_random_uuid()::text, {lag})" for n, lag in enumerate(lags)]
    database.run(
        "CREATE FUNCTION pg_catalog.aurora_replica_status() RETURNS TABLE (server_id text, session_id text, "
        f"replica_lag_in_msec float8) LANGUAGE sql AS $$ VALUES {', '.join(rows)} $$"
    )

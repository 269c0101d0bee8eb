"""Where the targets are, from environment variables: a target is configured when its URL is.

Secrets stay in ``Target.conninfo``, which is never printed.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aoc_migrate.database.secret_file import secret_of
from aoc_migrate.errors import refused
from aoc_migrate.report.model import Place

RAW_TABLES = {"concelier": "advisory_raw", "excititor": "vex_raw"}
TARGETS = tuple(RAW_TABLES)
COPY = "AOC_COPY_URL"
_READ = re.compile(
    "AOC_.+|(CONCELIER|EXCITITOR)_(DATABASE_.+|TABLE_OWNER)|PG(HOST|PORT|USER|DATABASE|SERVICE)|HOSTNAME"
)
"""The variables that we read, and do not only hand on to libpq."""
_PLACE = (
    *("service", "host", "hostaddr", "port", "dbname", "sslmode", "sslrootcert", "sslnegotiation"),
    *("channel_binding", "require_auth", "target_session_attrs"),
)


@dataclass(frozen=True)
class Target:
    """A named database: libpq connection string, schema of its tables, owner of tables that we create.

    ``variable`` is the name of the variable that its URL came from, for messages.
    """

    name: str
    conninfo: str = field(repr=False)
    schema: str = "public"
    table_owner: str | None = None
    variable: str = ""

    def __post_init__(self) -> None:
        """Name the target's own variable, unless the URL came from another one."""
        if not self.variable:
            object.__setattr__(self, "variable", f"{self.name.upper()}_DATABASE_URL")

    @property
    def table(self) -> str:
        """The name of its raw table."""
        return RAW_TABLES[self.name]

    def database(self) -> tuple[str, ...]:
        """Return what identifies its database (service, host, port, name), to compare two targets."""
        from psycopg.conninfo import conninfo_to_dict

        known = conninfo_to_dict(self.conninfo)
        host = known.get("hostaddr") or known.get("host") or os.environ.get("PGHOST", "")
        port = known.get("port") or os.environ.get("PGPORT", "5432")
        user = known.get("user") or os.environ.get("PGUSER", "")
        name = known.get("dbname") or os.environ.get("PGDATABASE") or user
        service = known.get("service") or os.environ.get("PGSERVICE", "")
        return (str(service), str(host), str(port), str(name))

    def place(self) -> Place:
        """Return where its database is, as far as that is known without a connection."""
        from psycopg.conninfo import conninfo_to_dict

        service, host, port, database = self.database()
        role = str(conninfo_to_dict(self.conninfo).get("user") or os.environ.get("PGUSER") or "") or None
        if service:  # whose file may name another host and port
            return Place(host or None, database=database or None, schema=self.schema, role=role)
        known_port = int(port) if re.fullmatch("[0-9]{1,5}", port) else None
        return Place(host or None, known_port, database or None, self.schema, role)

    def login(self, role: str) -> str:
        """Return a connection string for another role to the same place, without a secret."""
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        known = conninfo_to_dict(self.conninfo)
        return make_conninfo("", **{name: known[name] for name in _PLACE if name in known}, user=role)


def conninfo_of(url: str) -> str:
    """Return the conninfo of a URL, as libpq reads it without a driver in its scheme, or of a conninfo string.

    Raises ValueError for what libpq refuses, and for a URL whose host, port or database must be a part of a
    password that is not percent-encoded. So does a string in which an empty value has swallowed the password, as
    in ``dbname= password=x``.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    match = re.match(r"postgres(?:ql)?(?:\+\w+)?://", url, re.IGNORECASE)
    rest = url[match.end() :] if match else ""
    with suppress(ProgrammingError):
        found = conninfo_to_dict(f"postgresql://{rest}" if match else url)
        others = (str(value) for name, value in found.items() if name != "password")
        if _is_place(found, rest) if match else not any("password=" in value for value in others):
            return make_conninfo("", **found)
    raise ValueError("no place")  # and not the URL: it may hold a password


def _is_place(found: Mapping[str, Any], rest: str) -> bool:
    """Return whether host, port and database of a URL, given without its scheme, are not parts of a password."""
    host, port = str(found.get("host", "")), str(found.get("port", ""))
    database = rest.partition("/")[2].partition("?")[0]  # not decoded: its name may have an encoded @
    return not (re.search("[@?&=]", host) or re.search("[^0-9,]", port) or "@" in database)


def configured(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the configured targets, in order, without reading a URL."""
    return [
        name
        for name in TARGETS
        if any(environment.get(f"{name.upper()}_DATABASE_URL{end}") for end in ("", "_FILE"))
    ]


def read_targets(environment: Mapping[str, str] = os.environ) -> dict[str, Target]:
    """Return the configured targets in order. Raises Abort (exit 2) for invalid settings."""
    targets = {name: target for name in TARGETS if (target := _read_target(name, environment))}
    places = {(target.database(), target.schema) for target in targets.values()}
    if len(places) < len(targets):
        raise refused(
            "CONCELIER_DATABASE_URL and EXCITITOR_DATABASE_URL name the same database and schema; their "
            "histories would mix. Give one of them another database, or set EXCITITOR_DATABASE_SCHEMA."
        )
    return targets


def _read_target(name: str, environment: Mapping[str, str]) -> Target | None:
    variable = f"{name.upper()}_DATABASE_URL"
    url = secret_of(variable, environment).strip()
    return _target(name, variable, url, environment) if url else None


def read_copy(name: str, url: str | None, environment: Mapping[str, str] = os.environ) -> Target:
    """Return the copy of a target: ``url``, else what the environment names, with the target's schema and owner.

    Raises Abort (exit 2) for invalid settings, or if there is no URL.
    """
    url = (url or "").strip() or secret_of(COPY, environment).strip()
    if not url:
        raise refused(f"No copy is named: set {COPY}=postgresql://user@host/copy, {COPY}_FILE, or add --copy URL.")
    return _target(name, COPY, url, environment)


def _target(name: str, variable: str, url: str, environment: Mapping[str, str]) -> Target:
    password_variable = f"{variable.removesuffix('_URL')}_PASSWORD"
    try:
        conninfo = conninfo_of(url)
    except ValueError:
        raise refused(
            f"{variable} is not a PostgreSQL URL. Write it as "
            "postgresql://user:password@host:5432/database and percent-encode the password ("
            """python3 -c "import urllib.parse; print(urllib.parse.quote(input(), safe=''))"), """
            f"or leave the password out and set {password_variable}, PGPASSWORD or PGPASSFILE."
        ) from None
    conninfo = _with_password(conninfo, variable, password_variable, environment)
    return Target(name, conninfo, *read_schema_and_owner(name, environment), variable)


def _with_password(conninfo: str, url: str, variable: str, environment: Mapping[str, str]) -> str:
    """Return ``conninfo`` with the password of a variable or its file, if one is set, without its line break."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    password = re.sub(r"\r?\n\Z", "", secret_of(variable, environment))
    if not password:
        return conninfo
    if conninfo_to_dict(conninfo).get("password"):
        raise refused(f"{url} has a password, and {variable} or {variable}_FILE is set too; remove one of them.")
    return make_conninfo(conninfo, password=password)


def check_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse (exit 2) a variable that is not UTF-8, which neither PostgreSQL nor a report could hold."""
    for name, value in environment.items():
        if _READ.fullmatch(name) and any("\ud800" <= character <= "\udfff" for character in value):
            raise refused(f"{name} is not UTF-8 text; write it in UTF-8.")


def read_schema_and_owner(name: str, environment: Mapping[str, str] = os.environ) -> tuple[str, str | None]:
    """Return the schema of a target, and the owner of tables that we create; neither needs a URL.

    Raises Abort (exit 2) for a schema whose name would end our DO blocks.
    """
    prefix = name.upper()
    schema = environment.get(f"{prefix}_DATABASE_SCHEMA") or "public"
    if "$aoc" in schema:
        raise refused(
            f"{prefix}_DATABASE_SCHEMA has $aoc in it, by which our statements quote their blocks: they would "
            "break. Rename the schema."
        )
    return schema, environment.get(f"{prefix}_TABLE_OWNER") or None


def choose_targets(names: Sequence[str], environment: Mapping[str, str] = os.environ) -> list[Target]:
    """Return the named targets, or all configured ones. Raises Abort (exit 2) if no target is configured."""
    check_variables(environment)  # under stock Alembic, nothing else has
    configured = read_targets(environment)
    for name in names:
        if name not in configured:
            raise refused(
                f"{name} is not configured: set {name.upper()}_DATABASE_URL=postgresql://user@host/database"
            )
    if not configured:
        raise refused(
            "No database is configured: set CONCELIER_DATABASE_URL or EXCITITOR_DATABASE_URL, for example "
            "CONCELIER_DATABASE_URL=postgresql://user@host/concelier"
        )
    return [configured[name] for name in names] if names else list(configured.values())

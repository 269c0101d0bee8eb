"""A URL without a password gets it from a variable or a file of its own, as it is, and nothing prints it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from aoc_migrate.database.targets import read_copy, read_targets
from tests.conftest import Aoc, Database
from tests.test_redaction import everything

ODD = ["p@ss/w rd%", "%41", "it's \"q\" \\ \\\\'", " blank around ", "ünï ☃", "a\nb", "postgresql://u:p@h/d"]
URL = "postgresql://u@h/d"


@pytest.fixture
def role(concelier: Database) -> Iterator[str]:
    """A superuser whose password each test sets."""
    name = f"secretive_{concelier.connection.info.backend_pid}"
    concelier.run(f"CREATE ROLE {name} LOGIN SUPERUSER")
    yield name
    concelier.run(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def set_password(database: Database, role: str, password: str) -> None:
    """Give the role a password."""
    database.run(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), password))


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("password", ODD)
def test_a_password_is_taken_as_it_is(password: str, end: str, tmp_path: Path) -> None:
    """Nothing in a password is decoded, quoted or stripped; one line break at the end is not part of it."""
    file = tmp_path / "password"
    file.write_bytes((password + end).encode())

    targets = read_targets(
        {
            "CONCELIER_DATABASE_URL": URL,
            "CONCELIER_DATABASE_PASSWORD_FILE": str(file),
            "EXCITITOR_DATABASE_URL": "host=h dbname=e user=u",
            "EXCITITOR_DATABASE_PASSWORD": password + end,
        }
    )
    copy = read_copy("concelier", URL, {"AOC_COPY_PASSWORD_FILE": str(file)})

    found = [conninfo_to_dict(target.conninfo)["password"] for target in (*targets.values(), copy)]
    assert found == [password] * 3


@pytest.mark.parametrize("password", ODD)
def test_the_server_takes_it(password: str, role: str, concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """PostgreSQL accepts the password from the variable and from the file."""
    set_password(concelier, role, password)
    (tmp_path / "password").write_text(f"{password}\n", encoding="utf-8")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as(role)

    named = aoc("status", CONCELIER_DATABASE_PASSWORD=password)
    filed = aoc("status", CONCELIER_DATABASE_PASSWORD_FILE=str(tmp_path / "password"))

    assert (named.exit_code, filed.exit_code) == (0, 0), named.err + filed.err
    assert password not in named.out + named.err + filed.out + filed.err


def test_two_targets_have_a_password_each(role: str, concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """One run connects to both targets, each with its own password; PGPASSWORD is for the one without."""
    set_password(concelier, role, "first")
    aoc.environment |= {"CONCELIER_DATABASE_URL": concelier.url_as(role), "CONCELIER_DATABASE_PASSWORD": "first"}
    info = excititor.connection.info
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(info.user)

    own = aoc("status", EXCITITOR_DATABASE_PASSWORD=info.password)
    shared = aoc("status", PGPASSWORD=info.password)

    assert (own.exit_code, shared.exit_code) == (0, 0), own.err + shared.err


def test_a_copy_has_its_own_password(role: str, concelier: Database, aoc: Aoc) -> None:
    """`rehearse` connects to the copy with AOC_COPY_PASSWORD, not with the target's password."""
    set_password(concelier, role, "of the copy")
    secrets = {"AOC_COPY_PASSWORD": "of the copy", "CONCELIER_DATABASE_PASSWORD": "of the target"}

    ran = aoc("rehearse", "concelier", "--copy-is", "other", AOC_COPY_URL=concelier.url_as(role), **secrets)

    assert (ran.exit_code, f"leads to the database '{concelier.connection.info.dbname}'" in ran.err) == (2, True)


REFUSED = [
    ({"PASSWORD": "s3cret", "PASSWORD_FILE": "{good}"}, URL, "PASSWORD_FILE are both set; unset one of them"),
    ({"PASSWORD": "s3cret"}, "postgresql://u:s3cret@h/d", "has a password, and"),
    ({"PASSWORD_FILE": "{good}"}, "postgresql://h/d?password=s3cret", "has a password, and"),
    ({"PASSWORD": "s3cret\udcff"}, URL, "is not UTF-8 text"),
    ({"PASSWORD_FILE": "{empty}"}, URL, "is empty. Mount the secret there"),
    ({"PASSWORD_FILE": "{line}"}, URL, "is empty. Mount the secret there"),
    ({"PASSWORD_FILE": "{nul}"}, URL, "cannot be read: it contains a NUL byte"),
    ({"PASSWORD_FILE": "{latin}"}, URL, "cannot be read: it is not UTF-8 text"),
    ({"PASSWORD_FILE": "{gone}"}, URL, "cannot be read: No such file or directory"),
    ({"PASSWORD_FILE": "{folder}"}, URL, "cannot be read: Is a directory"),
    ({"PASSWORD_FILE": "/dev/zero"}, URL, "cannot be read: it is longer than 64 kB"),
    ({"PASSWORD_FILE": "/proc/self/mem"}, URL, "cannot be read: "),
]


@pytest.mark.parametrize("prefix", ["CONCELIER_DATABASE", "AOC_COPY"])
@pytest.mark.parametrize(("variables", "url", "sentence"), REFUSED, ids=[str(r[0]) + r[2][:9] for r in REFUSED])
def test_a_wrong_password_variable_exits_2(
    variables: dict[str, str], url: str, sentence: str, prefix: str, aoc: Aoc, tmp_path: Path
) -> None:
    """Two passwords, and a file that holds none, are refused in one sentence before any connection."""
    contents = {"good": b"s3cret", "empty": b"", "line": b"\r\n", "nul": b"s3cret\0x", "latin": b"s3cret\xff"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    places = {name: str(tmp_path / name) for name in (*contents, "gone", "folder")}
    given = {f"{prefix}_{name}": value.format(**places) for name, value in variables.items()}
    words = ["audit"] if prefix == "CONCELIER_DATABASE" else ["rehearse", "concelier", "--copy-is", "x"]

    ran = aoc(*words, **{f"{prefix}_URL": url}, **given)

    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert f"{prefix}_" in ran.err
    assert sentence in ran.err
    assert "s3cret" not in ran.err


def test_it_appears_in_no_output(role: str, concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """No report, log, ledger or evidence has the password, whether it is right or wrong."""
    secret = "planted 41%'\\"
    set_password(concelier, role, secret)
    aoc.environment |= {"CONCELIER_DATABASE_URL": concelier.url_as(role), "CONCELIER_DATABASE_PASSWORD": secret}
    assert aoc("upgrade", "concelier_0001").exit_code == 0
    concelier.add("bad", tenant=None)

    seen = "".join(everything(aoc, *words.split()) for words in ("audit", "upgrade", "plan", "verifier check"))
    seen += everything(aoc, "upgrade", "--evidence", str(tmp_path))
    seen += "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    wrong = everything(aoc, "audit", CONCELIER_DATABASE_PASSWORD="planted 77")

    assert "password authentication failed" in wrong
    assert [text for text in ("planted", secret) if text in seen + wrong] == []


def test_the_variable_wins_over_libpq(role: str, concelier: Database, aoc: Aoc) -> None:
    """The variable wins over PGPASSWORD, as whatever is in the connection string does."""
    set_password(concelier, role, "right")

    ran = aoc(
        "status",
        CONCELIER_DATABASE_URL=concelier.url_as(role),
        CONCELIER_DATABASE_PASSWORD="right",
        PGPASSWORD="wrong",
    )

    assert ran.exit_code == 0, ran.err
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(concelier.url_as(role, "wrong"))

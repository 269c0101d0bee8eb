"""How a URL is read: as libpq reads it, or not at all."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from aoc_migrate.database.targets import conninfo_of, read_targets
from aoc_migrate.errors import Abort

READ = {
    "postgresql://db/c?user=stella@srv&password=s3cret": {
        "host": "db",
        "dbname": "c",
        "user": "stella@srv",
        "password": "s3cret",
    },
    "postgresql+psycopg://u:p%40ss@h/d?application_name=a@b": {
        "host": "h",
        "dbname": "d",
        "user": "u",
        "password": "p@ss",
        "application_name": "a@b",
    },
    "postgres://u%40srv:p@h:1/d": {"host": "h", "port": "1", "dbname": "d", "user": "u@srv", "password": "p"},
    "postgresql://u:1%2Fx@h/d": {"host": "h", "dbname": "d", "user": "u", "password": "1/x"},
    "postgresql://u:a?b#c@h/d": {"host": "h", "dbname": "d", "user": "u", "password": "a?b#c"},
    "postgresql://u:p@h/my%40db": {"host": "h", "dbname": "my@db", "user": "u", "password": "p"},
    "postgresql://%2Frun%2Fpg/d": {"host": "/run/pg", "dbname": "d"},
    "host=h dbname=d user=u@srv": {"host": "h", "dbname": "d", "user": "u@srv"},
    "host=h password='a password=b'": {"host": "h", "password": "a password=b"},
}


@pytest.mark.parametrize("url", READ)
def test_a_url_is_read_as_libpq_reads_it(url: str) -> None:
    """A URL is what libpq reads, with a driver in its scheme or without; what is percent-encoded is decoded."""
    assert conninfo_to_dict(conninfo_of(url)) == READ[url]


UNREADABLE = [
    "nonsense",
    "postgresql://db?user=a@b&password=s3cret",
    "postgresql://h:port/d",
    "postgresql://u:s3cret@x@h/d",
    "postgresql://u@srv:s3cret@h:1/d",
    "postgresql://u:s3cret/x@h/d",
    "postgresql://u:1/s3cret@h/d",
    "postgresql://u:s3cret@1/x@h/d",
    "postgresql://u:1/s3cret?x@h/d",
    "postgresql://u:s3cret%@h/d",
    "host=h password=s3cret nonsense",
    "host=h dbname= password=s3cret",
    "user= password=s3cret host=h",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_without_a_place_is_refused(url: str) -> None:
    """A URL with no place, or one made of parts of its password, is refused with the rule and no part of it."""
    with pytest.raises(Abort) as refused:
        read_targets({"EXCITITOR_DATABASE_URL": url})

    assert refused.value.exit_code == 2
    assert "percent-encode the password" in str(refused.value)
    assert "PGPASSWORD" in str(refused.value)
    assert "s3cret" not in str(refused.value)


PLACE = {"host": "h.example", "port": "5432", "dbname": "d", "user": "u"}
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1)


@given(password=PASSWORDS)
def test_an_encoded_password_may_hold_anything(password: str) -> None:
    """A percent-encoded password may have anything in it."""
    url = f"postgresql://u:{quote(password, safe='')}@h.example:5432/d"

    assert conninfo_to_dict(conninfo_of(url)) == PLACE | {"password": password}


@given(password=PASSWORDS)
def test_an_unencoded_password_never_becomes_a_place(password: str) -> None:
    """A password that is not encoded is read as libpq decodes it, or refused: no part becomes a place."""
    try:
        read = conninfo_to_dict(conninfo_of(f"postgresql://u:{password}@h.example:5432/d"))
    except ValueError:
        return
    assert read == PLACE | {"password": unquote(password)}

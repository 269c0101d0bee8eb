"""How a URL is read: as libpq reads it, or with a password typed as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from aoc_migrate.database.targets import conninfo_of

READ = {
    "postgresql://db/c?user=stella@srv&password=s3cret": {
        "host": "db",
        "dbname": "c",
        "user": "stella@srv",
        "password": "s3cret",
    },
    "postgresql+psycopg://u:p@ss@h/d?application_name=a@b": {
        "host": "h",
        "dbname": "d",
        "user": "u",
        "password": "p@ss",
        "application_name": "a@b",
    },
    "postgres://u@srv:p@h:1/d": {"host": "h", "port": "1", "dbname": "d", "user": "u@srv", "password": "p"},
    "postgresql://u:1/x@h/d": {"host": "h", "dbname": "d", "user": "u", "password": "1/x"},
    "postgresql://h/my%40db": {"host": "h", "dbname": "my@db"},
    "postgresql://%2Frun%2Fpg/d": {"host": "/run/pg", "dbname": "d"},
    "host=h dbname=d user=u@srv": {"host": "h", "dbname": "d", "user": "u@srv"},
}


@pytest.mark.parametrize("url", READ)
def test_read(url: str) -> None:
    """An ``@`` in the query, in the user or in the password is not taken for the one before the host."""
    assert conninfo_to_dict(conninfo_of(url)) == READ[url]


@pytest.mark.parametrize("url", ["nonsense", "postgresql://db?user=a@b&password=s3cret", "postgresql://h:port/d"])
def test_refused(url: str) -> None:
    """What names no place either way is refused before anything could print a part of it."""
    with pytest.raises(ValueError):
        conninfo_of(url)


@given(password=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="%"), min_size=1))
def test_any_password(password: str) -> None:
    """A password without percent signs may be typed as it is, whatever else is in it."""
    read = conninfo_to_dict(conninfo_of(f"postgresql://u:{password}@h.example:5432/d"))

    assert read == {"host": "h.example", "port": "5432", "dbname": "d", "user": "u", "password": password}

"""Secrets in a variable or in a file: a URL or a password."""

from collections.abc import Mapping

from aoc_migrate.errors import refused

LONGEST = 65_536  # bytes; a device such as /dev/zero never ends


def read_secret(file: str | int, *, first_line: bool = False) -> str:
    """Return the text of a file or an open descriptor, or its first line.

    Raises ValueError with the reason if it cannot be read.
    """
    try:
        with open(file, "rb", closefd=isinstance(file, str)) as source:
            content = source.readline(LONGEST + 1) if first_line else source.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(error.strerror) from None
    if len(content) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST // 1024} kB")
    if b"\0" in content:  # where libpq would end it
        raise ValueError("it contains a NUL byte")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def secret_of(variable: str, environment: Mapping[str, str]) -> str:
    """Return the value of a variable, else the text of the file that ``variable`` with ``_FILE`` names, else "".

    Raises Abort (exit 2) if both are set, or if the file is empty or cannot be read.
    """
    value, file = environment.get(variable, ""), environment.get(f"{variable}_FILE", "")
    if value.strip() and file:
        raise refused(f"{variable} and {variable}_FILE are both set; unset one of them.")
    if not file:
        return value
    try:
        text = read_secret(file)
    except ValueError as reason:
        raise refused(f"{variable}_FILE={file} cannot be read: {reason}. Mount the secret there.") from None
    if not text.strip():
        raise refused(f"{variable}_FILE={file} is empty. Mount the secret there.")
    return text

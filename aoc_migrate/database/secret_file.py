"""Files that hold a secret: a URL or a password."""

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
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None

"""The name of a change ticket, which reports and the ledger show on one line."""

LONGEST = 100  # characters
RULE = f"a ticket has 1 to {LONGEST} printable characters, such as CHG-1234"


def ticket_named(text: str) -> str:
    """Return the name without surrounding blanks. Raises ValueError if it is empty, long or not printable."""
    name = text.strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        raise ValueError(RULE)
    return name

"""`revision`: a new revision from the template."""

import re
from argparse import Namespace
from pathlib import Path

from aoc_migrate.errors import refused
from aoc_migrate.revisions.graph import config_path, head, history, migrations_folder


def new_revision(target: str, message: str) -> Path | None:
    """Write the file of the next revision of ``target`` and return its path; None outside a checkout."""
    folder = migrations_folder()
    if (folder.parent / "__init__.py").is_file():  # in an installation, it is inside the package
        return None
    if not re.search("[a-zA-Z]", message) or not message.isprintable() or re.search(r'["\\]', message):
        raise refused("-m needs a title in one line, without quotes, such as -m 'guard the identifiers column'.")
    from alembic import command
    from alembic.config import Config

    number = len(history(target)) + 1
    try:
        script = command.revision(
            Config(str(config_path()), ini_section=target, cmd_opts=Namespace(quiet=True)),
            message=message,
            head=head(target),
            rev_id=f"{target}_{number:04d}",
        )
    except OSError as error:
        raise refused(f"The revision cannot be written to {folder / target}: {error.strerror}.") from None
    if script is None or isinstance(script, list):
        raise refused("Alembic wrote no revision.")
    return Path(script.path)

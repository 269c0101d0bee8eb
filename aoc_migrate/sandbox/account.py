"""The account that runs PostgreSQL's programs, which refuse root and user ids without a name.

Root, and a bare user id as in OpenShift, enter a user namespace in which they are an ordinary user; outside of it
nothing changes. If namespaces are forbidden, root runs the programs as ``nobody``.
"""

import ctypes
import os
import pwd
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aoc_migrate.errors import refused

_CLONE_NEWUSER = 0x10000000
_NOBODY = 65534


@dataclass(frozen=True)
class Account:
    """Starts programs as the current user, inside a user namespace, or as another user (``user``: a user id)."""

    namespace: bool = False
    user: int | None = None

    def run(self, *arguments: str | Path, keep: Collection[int] = ()) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, in a new session so that Ctrl-C does not reach it, and capture its output.

        It inherits the file descriptors in ``keep``, but not the caller's ``PG…`` variables. Raises OSError or
        subprocess.SubprocessError if it cannot be started.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.run(
            [str(argument) for argument in arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=environment | {"LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
            pass_fds=keep,
            preexec_fn=_enter_namespace if self.namespace else None,
            user=self.user,
            group=None if self.user is None else _group(self.user),
            extra_groups=None if self.user is None else [],
        )

    def own(self, path: Path) -> None:
        """Give ``path``, which we just created, to this account."""
        if self.user is not None:
            os.chown(path, self.user, _group(self.user))

    def can_use(self, binaries: Path, folder: Path) -> bool:
        """Return whether this account works here, can run ``binaries`` and can write into ``folder``."""
        script = 'test -r "$0" && test -x "$0" && test -w "$1" && test -x "$1"'
        try:
            return self.run("/bin/sh", "-c", script, binaries / "postgres", folder).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False


def choose_account(binaries: Path, folder: Path) -> Account:
    """Return the account for a new server in ``folder``, which exists and is ours.

    For root without namespaces that is ``nobody``, which may not have access to either path yet. Raises Abort
    (exit 2) for a user id without a name if namespaces are forbidden.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Account()
    if Account(namespace=True).can_use(binaries, folder):
        return Account(namespace=True)
    if os.geteuid() == 0:
        return Account(user=nobody())
    raise refused(
        f"PostgreSQL's initdb needs a named user; user id {os.geteuid()} has no name here, and user namespaces, "
        "which could give it one, are disabled. Add the id to /etc/passwd."
    )


def account_of(data: Path) -> Account:
    """Return the account that owns an existing data folder."""
    owner = data.stat().st_uid
    if owner != os.geteuid():
        return Account(user=owner)
    return Account(namespace=owner == 0 or not _has_name(owner))


def nobody() -> int:
    """Return the user id of ``nobody``, or of another ordinary user if there is no such name."""
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), _NOBODY)


def _group(user: int) -> int:
    return pwd.getpwuid(user).pw_gid if _has_name(user) else user


def _has_name(user: int) -> bool:
    try:
        return bool(pwd.getpwuid(user))
    except KeyError:
        return False


def _enter_namespace() -> None:
    """Become ``nobody`` in a new user namespace. Runs in the child, between fork and exec."""
    user, group, inside = os.geteuid(), os.getegid(), nobody()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1", encoding="ascii")

"""What `verifier` finds: is the role that verifies a reader of what it needs, and nothing else?"""

from aoc_migrate.report.messages.message import Message

VERIFIER: dict[str, Message] = {
    "verifier-missing": Message(
        "There is no role {subject}: nobody but a migrating role can verify.",
        "Run: aoc-migrate verifier create {target} --password-file FILE",
    ),
    "verifier-too-privileged": Message(
        "The role {subject} is more than a reader: {powers}.",
        "Choose another role by AOC_VERIFIER_USER, or take that from it first.",
    ),
    "verifier-lacks": Message(
        "The role {subject} may not {lacking}; verification would fail.",
        "Run: aoc-migrate verifier create {target}",
    ),
    "verifier-reads-more": Message(
        "The role {subject} may read more than verification needs: {names}.",
        "Revoke it, or find out who relies on it; what PUBLIC may read, everybody may.",
        severity="warning",
    ),
    "verifier-reads-quarantine": Message(
        "The role {role} may read {subject}, where nothing is that verification needs.",
        "Run: REVOKE ALL ON {subject} FROM {quoted}; and look whether PUBLIC has rights on it.",
    ),
    "verifier-not-read-only": Message(
        "Sessions of the role {subject} are not read-only from their beginning.",
        "Run: ALTER ROLE {quoted} SET default_transaction_read_only = on;",
    ),
    "tenant-without-rows": Message(
        "No row of {subject} is of tenant {tenant}: there is nothing to look at.",
        "Look how the tenant is spelled: SELECT DISTINCT tenant FROM {subject};",
        severity="warning",
    ),
    "tenant-not-limited": Message(
        "Row-level security is off on {subject}: a role for tenant {tenant} alone would see every tenant's rows.",
        "Make policies for the services and turn it on, or leave --tenant out.",
    ),
    "verifier-could-write": Message(
        "As {subject} we could run {what}; it was rolled back.",
        "Look where the right comes from (PUBLIC, a default privilege), and revoke it.",
    ),
    "verifier-not-tried": Message(
        "We may not act as {subject}, so only its rights were looked at; nothing was tried.",
        "Connect as {quoted} and run: aoc-migrate verifier check {target}",
        severity="warning",
    ),
    "verifier-stays": Message(
        "The role {subject} has no rights here any more, but something keeps it: {reason}.",
        "Run it for the other target as well, or look for the rest with: \\du {quoted}",
        severity="warning",
    ),
}

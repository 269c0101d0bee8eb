"""What `verifier` finds: can the role read what verification needs, and do nothing else?"""

from aoc_migrate.report.messages.message import Message

VERIFIER: dict[str, Message] = {
    "verifier-missing": Message(
        "There is no role {subject}: only a role that migrates can verify.",
        "Run: aoc-migrate verifier create {target} --password-file FILE",
    ),
    "verifier-too-privileged": Message(
        "The role {subject} is more than a reader: {powers}.",
        "Set AOC_VERIFIER_USER to another role, or remove these privileges from this one first.",
    ),
    "verifier-lacks-privileges": Message(
        "The role {subject} may not {lacking}; verification would fail.",
        "Run: aoc-migrate verifier create {target}",
    ),
    "verifier-limit-lost": Message(
        "Policies of the role {role} on {subject} are missing or changed: it may see rows of other tenants.",
        "If it is for one tenant, run: aoc-migrate verifier create {target} --tenant {tenant}; if it is for every "
        "tenant, run verifier drop, then verifier create without --tenant.",
    ),
    "verifier-reads-more": Message(
        "The role {subject} may read more than verification needs: {names}.",
        "Revoke it, or find out who relies on it; every role may read what PUBLIC may.",
        severity="warning",
    ),
    "verifier-reads-quarantine": Message(
        "The role {role} may read {subject}, which verification does not need.",
        "Run: REVOKE ALL ON {quarantine} FROM {quoted}; Also check whether PUBLIC has rights on it.",
    ),
    "verifier-not-read-only": Message(
        "The role {subject} does not start its sessions read-only.",
        "Run: ALTER ROLE {who} SET default_transaction_read_only = on;",
    ),
    "verifier-borrows-rights": Message(
        "The role {subject} may execute functions that run with their owner's rights: {names}.",
        "Make sure that they do only what the role may, or revoke EXECUTE on them from {quoted} and PUBLIC.",
        severity="warning",
    ),
    "tenant-without-rows": Message(
        "{subject} has no rows of tenant {tenant}: there is nothing to check.",
        "Check how the tenant is spelled: SELECT DISTINCT tenant FROM {raw};",
        severity="warning",
    ),
    "tenant-not-limited": Message(
        "Row-level security is off on {subject}: a role for tenant {tenant} alone would see every tenant's rows.",
        "Create policies for the services and turn it on, or leave out --tenant. If the role exists, first "
        "run: aoc-migrate verifier drop {target}",
    ),
    "verifier-could-write": Message(
        "Acting as {subject}, we could run {what}; it was rolled back.",
        "Find out where the right comes from (PUBLIC, a default privilege), and revoke it.",
    ),
    "verifier-not-tried": Message(
        "We may not act as {subject}, so only its granted rights were checked; nothing was tried.",
        "Connect as {quoted} and run: aoc-migrate verifier check {target}",
        severity="warning",
    ),
    "verifier-not-dropped": Message(
        "The role {subject} has no rights here any more, but it could not be dropped: {reason}.",
        "Run the same command for the other target, or see what else the role has: \\du {quoted}",
        severity="warning",
    ),
}

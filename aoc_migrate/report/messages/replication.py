"""What replicates our tables, and would stop because of an upgrade or a downgrade."""

from aoc_migrate.report.messages.message import Message

REPLICATION: dict[str, Message] = {
    "published-table": Message(
        "{subject} is published by {names}. {effect}",
        "{remedy} To accept it: {accept}",
    ),
    "subscribed-table": Message(
        "{subject} receives changes through the subscription {names}. {effect}",
        "{remedy} To accept it: {accept}",
    ),
    "published-bookkeeping": Message(
        "The publication {subject} covers every table of the database or of this schema, including those that "
        "aoc-migrate creates ({names}). Subscribers lack these, and stop at the first change of one.",
        "Make it list its tables by name: {statements} Then, on each subscriber: ALTER SUBSCRIPTION NAME REFRESH "
        "PUBLICATION WITH (copy_data = false); To accept it: {accept}",
    ),
    "subscribed-bookkeeping": Message(
        "{subject} belongs to aoc-migrate, but the subscription {names} writes to it: this database follows the "
        "publisher's history instead of its own.",
        "On the publisher, take the tables of aoc-migrate out of the publication (docs/rules.md, "
        "published-bookkeeping). Then here: {refresh} To accept it: {accept}",
    ),
    "hidden-replicas": Message(
        "Aurora's replicas read the storage of their primary, and pg_stat_replication does not list them: "
        "--max-lag does not see how far behind they are, and no step pauses for them.",
        'To pause while one of them is more than 10 s behind, add --throttle-query "{query}", or set '
        "AOC_THROTTLE_QUERY to this query. If they do not matter: --max-lag off",
        severity="warning",
    ),
}

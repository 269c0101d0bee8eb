"""What a rehearsal finds."""

from aoc_migrate.report.messages.message import Message

REHEARSAL: dict[str, Message] = {
    "copy-in-doubt": Message(
        "{url} may lead to the database of {variable} itself, which a rehearsal must not change. {reason}.",
        "Make {variable} lead to a primary that this machine reaches; or unset it, if you know that the copy is "
        "another database. Then run the same command again.",
        exit_code=3,
    ),
    "copy-too-small": Message(
        "The rehearsal needs up to {needed} of room for {subject}, and --free-space is {free}.",
        "Give the copy more room. To see what the target itself needs: aoc-migrate plan {target}",
    ),
    "copy-held": Message(
        "The copy was under a hold, left by `{command}` at {at}; the rehearsal released it.",
        "If the copy brought the hold along, the target is under it too, and its upgrade needs --release-hold. If "
        "an earlier rehearsal left it (--no-second-upgrade), there is nothing to do.",
        severity="info",
    ),
    "copy-half-way": Message(
        "On the copy, a `{command}` to {revision} is unfinished: there is no state that a way back could restore.",
        "Finish it on the target, then restore a new copy; or finish it on the copy.",
    ),
    "nothing-pending": Message(
        "The copy {subject} is at head ({revision}): there is nothing to rehearse.",
        "If the target is not at head, restore a newer copy of it.",
        severity="info",
    ),
    "head-incomplete": Message(
        "The copy {subject} is at head ({revision}), but {reason}. It has no revision to come back to.",
        "To see what the target needs, try it on the copy, whose URL the variable has: "
        '{variable}="$AOC_COPY_URL" aoc-migrate upgrade {target}{release}',
    ),
    "rehearsal-unfinished": Message(
        "The rehearsal ended in the phase `{phase}`. The copy {subject} is at {revision}, {hold}.",
        "Run the same command again: it goes on from there, and compares with the state before the rehearsal.",
        severity="info",
    ),
    "way-back-differs": Message(
        "After the downgrade, {subject} is not as it was before the upgrade: {listed}.",
        "If another session has changed the copy meanwhile, restore it and rehearse again; otherwise, do not rely "
        "on the downgrade, and report this.",
        exit_code=4,
    ),
}

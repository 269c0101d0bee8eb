"""The words of every finding: slug, code, severity, problem and help. A finding without a text cannot exist.

The problem says what is wrong and why it hurts, the help what to type next, with the reader's own names in
it. Slugs are stable; each has a section in docs/rules.md. The codes ERR_AOC_… are StellaOps' violation codes
(domain.md, The rules).
"""

from aoc_migrate.report.messages.message import Message
from aoc_migrate.report.messages.quarantine import QUARANTINE
from aoc_migrate.report.messages.rehearsal import REHEARSAL
from aoc_migrate.report.messages.replication import REPLICATION
from aoc_migrate.report.messages.rows import ROWS
from aoc_migrate.report.messages.session import SESSION
from aoc_migrate.report.messages.shapes import SHAPES
from aoc_migrate.report.messages.steering import STEERING
from aoc_migrate.report.messages.surroundings import SURROUNDINGS
from aoc_migrate.report.messages.verifier_role import VERIFIER
from aoc_migrate.report.messages.verify import VERIFY

MESSAGES: dict[str, Message] = {
    **ROWS,
    **SHAPES,
    **REPLICATION,
    **SESSION,
    **SURROUNDINGS,
    **STEERING,
    **VERIFY,
    **VERIFIER,
    **QUARANTINE,
    **REHEARSAL,
}

"""The words of every finding: slug, code, severity, problem and help. A finding without a text cannot exist.

The problem says what is wrong and why it hurts, the help what to type next, with the reader's own names in
it. Slugs are stable; each has a section in docs/rules.md. The codes ERR_AOC_… are StellaOps' violation codes
(domain.md, The rules).
"""

from aoc_migrate.report.texts.bundles import BUNDLES
from aoc_migrate.report.texts.model import Text
from aoc_migrate.report.texts.quarantine import QUARANTINE
from aoc_migrate.report.texts.rows import ROWS
from aoc_migrate.report.texts.running import RUNNING
from aoc_migrate.report.texts.standing import STANDING
from aoc_migrate.report.texts.verifier import VERIFIER

TEXTS: dict[str, Text] = {**ROWS, **RUNNING, **STANDING, **VERIFIER, **QUARANTINE, **BUNDLES}

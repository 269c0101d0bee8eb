"""What the catalog holds of a rule: plain text, every name with its schema, and keys that fit into indexes."""

import random
import re
import string

import psycopg
import pytest

from tests.adversary import MOST, TEXTS
from tests.conftest import Aoc, Database

OURS = "proname ~ '_ok_v[0-9]+$' AND pronamespace = 'public'::regnamespace"
LITERAL = r"E?'(?:[^']|'')*'"
WORDS = r"\b(in|between|like|ilike|similar|distinct|nullif|case|when|any|some|all|overlaps|array|row|select)\b"
SYNTAX = {"return", "coalesce", "least", "greatest", "and", "or", "not"}


@pytest.fixture
def concelier_at_head(request: pytest.FixtureRequest, concelier: Database, aoc: Aoc) -> Database:
    """Concelier's database at head."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    return concelier


def test_no_stored_text_has_a_control_character(concelier_at_head: Database) -> None:
    """No body and no constraint has a character in it that a tool which translates line ends would change."""
    texts = concelier_at_head.rows(f"SELECT proname, prosrc FROM pg_proc WHERE {OURS}")
    texts += concelier_at_head.rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'advisory_raw'::regclass"
    )

    assert len(texts) > 6
    assert [name for name, text in texts if re.search(r"[\x00-\x1f\x7f-\x9f]", text)] == []
    assert [name for name, text in texts if not text.isascii()] == []
    cntrl = f"SELECT count(*) FROM pg_proc WHERE {OURS} AND prosrc ~ '[[:cntrl:]]'"
    assert concelier_at_head.value(cntrl) == 0


def test_every_name_in_a_body_has_its_schema(concelier_at_head: Database) -> None:
    """Bodies name operators, functions, types and collations of pg_catalog alone, and type every literal."""
    bodies = [body for (body,) in concelier_at_head.rows(f"SELECT prosrc FROM pg_proc WHERE {OURS}")]

    assert len(bodies) == 3
    for body in bodies:
        assert all(re.findall(rf"{LITERAL}(::pg_catalog\.\w+)?", body))
        bare = re.sub(LITERAL, "literal", body)
        assert re.findall(r"\b\d+\b(?!::pg_catalog\.int[48])", bare) == []
        assert re.findall(WORDS, bare, re.IGNORECASE) == []
        bare = bare.replace('COLLATE pg_catalog."C"', "")
        bare = re.sub(r"OPERATOR\(pg_catalog\.[^\w\s)]+\)|::pg_catalog\.\w+(\[\])?", "", bare)
        assert re.findall(r'[-+*/<>=~!@#%^&|?`:"$\[\]{}]', bare) == []
        assert set(re.findall(r"(?<![\w.])(\w+) ?\(", bare.lower())) <= SYNTAX
        assert set(re.findall(r"(\w+)\.", bare)) == {"pg_catalog"}


def split(by: random.Random, total: int, parts: int) -> list[int]:
    """Split a number into positive parts, often uneven ones."""
    cuts = sorted(by.sample(range(1, total), parts - 1))
    if by.random() < 0.5:  # some parts on both sides of 127, where the header of a text grows and is aligned
        cuts = sorted({min(total - 1, 126 * n + by.randint(1, 4) * n) for n in range(1, parts)})
    return [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]


def incompressible(by: random.Random, length: int) -> str:
    """Return random text that PostgreSQL cannot make shorter."""
    return "".join(by.choices(string.ascii_letters + string.digits + string.punctuation, k=length))


def test_keys_of_the_longest_legal_length_are_stored(concelier_at_head: Database) -> None:
    """Keys of the longest legal length fit into both indexes, however it is split; one byte more is refused."""
    by = random.Random(19)
    shared = ["tenant", "source_vendor", "upstream_id"]
    for n in range(150):
        *lengths, last = split(by, MOST, 4)
        by.shuffle(lengths)
        other = by.choice([1, last, by.randint(1, last)])
        longer, shorter = by.sample(["id", "content_hash"], 2)
        sizes = dict(zip(shared, lengths, strict=True)) | {longer: last, shorter: other}
        texts = {name: incompressible(by, size) for name, size in sizes.items()}
        texts["id"] = f"{n:03}"[:1] + texts["id"][1:]
        assert sum(len(texts[name]) for name in shared) + last == MOST

        grown = by.choice([*shared, longer])
        with pytest.raises(psycopg.errors.CheckViolation, match="keys_v1"):
            concelier_at_head.add(**{"id_": texts["id"]} | texts | {grown: texts[grown] + "x"})
        concelier_at_head.run("DELETE FROM advisory_raw")
        concelier_at_head.add(**{"id_": texts["id"]} | texts)

    assert concelier_at_head.value("SELECT count(*) FROM advisory_raw") == 1
    assert (
        concelier_at_head.value(
            "SELECT count(*) FROM pg_index WHERE indrelid = 'advisory_raw'::regclass AND indisvalid"
        )
        == 3
    )
    assert set(TEXTS) == {*shared, "id", "content_hash"}

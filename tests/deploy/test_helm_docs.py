"""The chart's values: each is described, in the schema, and in the README's table."""

import json
from typing import Any

import yaml

from scripts.pages.values import TARGETS, table, values
from tests.deploy.conftest import CHART

TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
NULLABLE = {"runAsUser", "ttlSecondsAfterFinished"}


def flat(known: Any, path: str = "") -> dict[str, Any]:
    """Return all values of a mapping and of those in it, each by its path."""
    found = {}
    for name, value in known.items():
        found[f"{path}{name}"] = value
        if isinstance(value, dict):
            found |= flat(value, f"{path}{name}.")
    return found


def resolved(schema: Any) -> Any:
    """Return a schema, or the definition that it names."""
    return SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def objects(schema: Any, path: str = "") -> dict[str, Any]:
    """Return the schema of each object whose keys are fixed, by its path."""
    schema = resolved(schema)
    found = {path: schema} if "properties" in schema else {}
    for name, below in schema.get("properties", {}).items():
        found |= objects(below, f"{path}{name}.")
    return found


def test_the_table_is_read_as_yaml_is() -> None:
    """What scripts/docs reads line by line is what YAML says."""
    known = flat(yaml.safe_load(TEXT))

    for path, default, _ in values(TEXT):
        assert path in known
        assert not default or yaml.safe_load(default) == known[path]


def test_every_value_is_described() -> None:
    """Every value has a comment above it; the second target has the values of the first one."""
    found = {path: meaning for path, default, meaning in values(TEXT) if default}
    first, second = ({p.removeprefix(t) for p in found if p.startswith(t)} for t in TARGETS)

    assert [path for path, meaning in found.items() if not meaning and not path.startswith(TARGETS[1])] == []
    assert first == second
    assert len(found) > 60


def test_the_schema_has_the_values_and_no_others() -> None:
    """The schema has exactly the keys of values.yaml, demands each, and allows no other."""
    known = yaml.safe_load(TEXT)
    for path, schema in objects(SCHEMA).items():
        here: Any = known
        for name in path.split(".")[:-1]:
            here = here[name]
        keys = set(schema["properties"]) - {"global"}

        if here:
            assert schema["additionalProperties"] is False
            assert keys == set(here), path
            assert set(schema["required"]) == keys - NULLABLE, path


def test_the_readme_has_the_table() -> None:
    """The README has the table that the comments make."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")

    assert "\n".join(table(TEXT)) in readme

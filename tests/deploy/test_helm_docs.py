"""The chart's values: each is described, in the schema, and in the README's table."""

import json
import re
import shlex
from typing import Any

import pytest
import yaml

from scripts.pages.values import TARGETS, table, values
from tests.conftest import ROOT
from tests.deploy.conftest import CHART, Helm

TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
README = (CHART / "README.md").read_text(encoding="utf-8")
UPGRADES = re.findall(r"(?m)^helm upgrade (?:.*\\\n)*.*", README)
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
        keys = set(schema["properties"]) - (set() if path else {"global", "enabled"})

        if here:
            assert schema["additionalProperties"] is False
            assert keys == set(here), path
            assert set(schema["required"]) == keys - NULLABLE, path


def test_the_readme_has_the_table() -> None:
    """The README has the table that the comments make."""
    assert "\n".join(table(TEXT)) in README


def test_the_readme_has_commands() -> None:
    """The README shows how to install, to go up, to roll back and to run one command."""
    assert len(UPGRADES) == 8


@pytest.mark.parametrize("command", UPGRADES)
def test_the_readmes_commands_render(command: str, helm: Helm) -> None:
    """Each `helm upgrade` of the README has values that the chart takes."""
    words = shlex.split(command)
    settings = [at for at, word in enumerate(words) if word in ("--set", "--set-json", "--values")]
    given = [word.replace("deploy/", f"{ROOT}/deploy/") for at in settings for word in words[at : at + 2]]

    assert helm.template(*given)


def test_the_readmes_values_render(helm: Helm, tmp_path: Any) -> None:
    """Each example of values in the README is one that the chart takes."""
    examples = [text for text in re.findall(r"(?ms)^```yaml\n(.*?)^```", README) if not text.startswith("#")]

    assert len(examples) == 3
    for text in examples:
        file = tmp_path / "values.yaml"
        file.write_text(text, encoding="utf-8")
        assert helm.template("--values", file)

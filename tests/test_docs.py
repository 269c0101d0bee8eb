"""The documents agree with the program: commands, options, exit codes, variables, findings, links, SQL."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Group

from aoc_migrate.cli import COMMANDS, cli
from aoc_migrate.report.messages import MESSAGES
from tests.conftest import ROOT, Aoc, Database

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("[ms]*/README.md")])
RULES = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def read(path: Path) -> str:
    """Return a page without what scripts/docs writes."""
    return re.sub(r"(?s)<!-- generated.*?<!-- end -->", "", path.read_text(encoding="utf-8"))


def section(page: str, heading: str) -> str:
    """Return the text under a heading, up to the next one of its level or above."""
    level = heading.index(" ")
    found = re.search(rf"(?ms)^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", page)
    assert found, heading
    return found[1]


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of one language, their indentation removed."""
    return [
        re.sub(rf"(?m)^{indent}", "", body)
        for indent, body in re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```$", page)
    ]


def first_cells(text: str) -> list[str]:
    """Return the text between backquotes in the first column of the tables of a text."""
    return [name for line in re.findall(r"(?m)^\| (`.*?) \|", text) for name in re.findall(r"`(.+?)`", line)]


def commands(group: Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield every command below a group, with the words that call it."""
    with cli.make_context("aoc-migrate", [], resilient_parsing=True) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield (*words, name), command
            if isinstance(command, Group):
                yield from commands(command, (*words, name))


def docs(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/docs of a checkout."""
    script = [sys.executable, f"{folder}/scripts/docs", *arguments]
    return subprocess.run(script, check=False, capture_output=True, text=True)


def test_generated_parts_agree_with_the_code() -> None:
    """Running scripts/docs would change nothing."""
    ran = docs(ROOT, "--check")

    assert (ran.stdout, ran.returncode) == ("", 0), ran.stderr


def test_a_stale_page_is_shown_and_repaired(tmp_path: Path) -> None:
    """scripts/docs --check shows what is stale and writes nothing; without it the page is repaired."""
    for part in ("deploy", "docs", "scripts"):
        shutil.copytree(ROOT / part, tmp_path / part)
    page = tmp_path / "docs" / "cli.md"
    stale = CLI.replace("--release-hold ", "--release-hole ")
    page.write_text(stale, encoding="utf-8")

    checked = docs(tmp_path, "--check")

    assert checked.returncode == 1
    assert re.search(r"(?m)^-.*--release-hole", checked.stdout)
    assert re.search(r"(?m)^\+.*--release-hold", checked.stdout)
    assert page.read_text(encoding="utf-8") == stale
    assert docs(tmp_path).returncode == 0
    assert page.read_text(encoding="utf-8") == CLI


def test_every_command_has_its_help_in_cli_md() -> None:
    """docs/cli.md has a section for each command, no other, and each names the command's options."""
    known = {" ".join(("aoc-migrate", *words)): command for words, command in commands(cli)}
    found = re.findall(r"(?m)^### (aoc-migrate .+)$", CLI)

    assert sorted(found) == sorted(known)
    for name, command in known.items():
        text = section(CLI, f"### {name}")
        options = {option for p in command.params for option in p.opts if option.startswith("--")} | {"--help"}
        assert set(re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", text)) == options, name


def test_readme_lists_the_commands() -> None:
    """The README's table has every command, and no other."""
    table = section(read(ROOT / "README.md"), "## Commands").partition("| exit code")[0]

    assert sorted(first_cells(table)) == sorted(COMMANDS)


def test_exit_codes_agree_with_the_help() -> None:
    """The tables of exit codes in README and docs/cli.md say what --help says."""
    listed = dict(re.findall(r"(?m)^ +(\d+) {2,}(\w.*)$", (cli.help or "").partition("Exit codes:")[2]))
    assert {"0", "1", "2", "3", "4", "130", "143"} == set(listed)

    table = re.findall(r"(?m)^\| (\d+) \| (.+?) \|", section(read(ROOT / "docs" / "cli.md"), "## Exit codes"))
    readme = re.findall(r"(?m)^\| (\d) \| (.+?) \|", read(ROOT / "README.md"))

    assert dict(table) == listed
    assert dict(readme) == {code: text for code, text in listed.items() if len(code) == 1}


def variables(text: str) -> set[str]:
    """Return the environment variables of ours that a text names."""
    return set(re.findall(r"(?<![\w])(?:AOC|CONCELIER|EXCITITOR)_[A-Z][A-Z_]*[A-Z]", text))


def test_the_documents_name_the_variables_of_the_code() -> None:
    """The documents name the variables that the code reads, and no others; docs/cli.md has all that users set."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "aoc_migrate").rglob("*.py")))
    suffixes = set(re.findall(r"\{(?:prefix|variable|target\.upper\(\))\}_([A-Z_]+)", code))
    assert suffixes == {"DATABASE_URL", "DATABASE_PASSWORD", "DATABASE_SCHEMA", "TABLE_OWNER", "FILE"}
    endings = {f"DATABASE_{kind}{end}" for kind in ("URL", "PASSWORD") for end in ("", "_FILE")}
    endings |= {"DATABASE_SCHEMA", "TABLE_OWNER"}
    known = variables(code) | {f"{target}_{end}" for target in ("CONCELIER", "EXCITITOR") for end in endings}

    named = variables("\n".join(read(page) for page in PAGES))

    of_tests = {"AOC_TEST_SERVER_URL", "AOC_TEST_BUILD", "AOC_TEST_RUN", "AOC_TEST_PLAY", "AOC_UPDATE_GOLDENS"}
    of_tests |= {"AOC_TEST_EVERYTHING"}
    others = {"AOC_TENANT_HEADER", "AOC_MIGRATE_IMAGE"}  # of the services, and of compose.yaml
    assert named - known == of_tests | others
    assert set(first_cells(section(CLI, "## Environment"))) == known


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
    titles = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    """Every relative link leads to a file, and to a heading of it where it names one."""
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_finding_has_a_section() -> None:
    """docs/rules.md has one section for each finding, and no other."""
    assert sorted(re.findall(r"(?m)^### (\S+)$", RULES)) == sorted(MESSAGES)


def test_the_json_example_has_the_keys_of_a_report(concelier: Database, aoc: Aoc) -> None:
    """The JSON in docs/cli.md has the keys of a real report in their order, and each key is explained."""
    for id_ in ("a", "b", "c", "d"):
        concelier.add(id_, content_hash="one" if id_ < "c" else "other")
    aoc.configure(concelier)
    (block,) = blocks(CLI, "json")
    shown, real = json.loads(block), aoc.json("audit").json

    assert list(shown) == list(real)
    assert list(shown["reports"][0]) == list(real["reports"][0])
    (duplicate,) = [f for f in real["reports"][0]["findings"] if f["slug"] == "duplicate-key"]
    (example,) = shown["reports"][0]["findings"]
    assert list(example) == list(duplicate)
    assert list(example["sample"][0]) == list(duplicate["sample"][0])
    for key in ("subject", "problem", "help", "severity", "code", "count", "rows"):
        assert example[key] == duplicate[key]
    keys = {*real, *real["reports"][0], *duplicate}
    assert keys == set(first_cells(section(CLI, "## Output")))


def test_scripts_are_listed() -> None:
    """scripts/README.md lists every script."""
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.name != "README.md" and path.is_file()}

    assert set(first_cells(read(ROOT / "scripts" / "README.md"))) == scripts

"""README, CONTRIBUTING and docs/ are true: commands parse, links lead somewhere, and what is named is there."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from noisewalk.app.__main__ import main
from noisewalk.renderer.bundled import bundled_scenes

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
# Code is a span between backticks, which may go on in the next line, or a line that is indented by four spaces.
CODE = re.compile(r"`([^`]+)`|^ {4,}(\S.*)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|&& |\.venv/bin/|python -m )noisewalk +(\S.*?)(?: {3,}|$)")
PLACEHOLDERS = {"SCENE...": "cornell gallery", "SCENE": "cornell", "RUN": "runs/cornell", "FILE": "file", "DIR": "."}


class Parsed(Exception):
    """What the real parser made of the words; it takes the place of the command."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given


def code(page: Path) -> list[str]:
    found = CODE.findall(page.read_text(encoding="utf-8"))
    return [re.sub(r"\s*\n\s*", " ", span) or line for span, line in found]


def commands() -> list[str]:
    """What follows `noisewalk`, with placeholders filled in, each once."""
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]  # which mentions what is gone
    found = {match for page in pages for text in code(page) for match in COMMAND.findall(text)}
    return sorted({filled_in(words) for words in found if "--help" not in words})


def filled_in(words: str) -> str:
    for name, value in PLACEHOLDERS.items():
        words = re.sub(rf"(?<![\w-]){re.escape(name)}(?!\w)", value, words)
    return words


@pytest.mark.parametrize("words", [words for words in commands() if " " in words])
def test_every_command_parses(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *arguments: Any) -> None:
        raise Parsed(parse(self, *arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(Parsed) as parsed:
        main(shlex.split(words))
    if "--headless" in words:  # a command that is gone would be taken for a scene
        scene = parsed.value.given.scene
        assert scene in bundled_scenes() or scene.endswith(".xml")


@pytest.mark.parametrize("name", [words for words in commands() if " " not in words])
def test_every_command_that_is_mentioned_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert name in bundled_scenes() or capsys.readouterr().out.startswith(f"usage: noisewalk {name} ")


def test_there_are_commands_to_test() -> None:
    assert {"compare cornell gallery", "cornell --headless", "doctor"} < set(commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, blanks to hyphens, punctuation away."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_files_and_names_are_there(page: Path) -> None:
    for text in code(page):
        for script in re.findall(r"(?<!\w)(?:scripts|\.ci)/\w+", text):
            assert (ROOT / script).is_file(), script
        if re.fullmatch(r"(noisewalk|app|denoiser|renderer|scenes|tests|docs)/[\w./-]+", text) and "NAME" not in text:
            assert (ROOT / text).exists(), text
        if re.fullmatch(r"noisewalk(\.\w+)+", text):
            module, _, name = text.rpartition(".")
            assert hasattr(import_module(module), name), text


def test_the_file_map_names_what_is_there() -> None:
    sections = re.split(r"^### `([\w/]+)`$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for folder, text in zip(sections[1::2], sections[2::2], strict=True):
        named = re.findall(r"`(\w+\.py)`", text)
        assert named and all((ROOT / folder / name).is_file() for name in named), (folder, named)

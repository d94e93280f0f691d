"""The pages that people read, and the command lines in them."""

import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")  # lines of code that are indented
SPAN = re.compile(r"`([^`]+)`")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
SEPARATORS = {"&&", "|", ";", "do", "done"}
PROGRAMS = {
    *("awac-dist", "python", "python3", "pip", "pytest", "ruff", "mypy", "mkdocs", "ray"),
    *("make_token.sh", "install.sh", "docker", "uvx", "gcloud", "for", ".", "du", "export"),
}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """What is no code of another language."""
    return FENCE.sub("", page.read_text())


def is_shell(block: str) -> bool:
    """Whether an indented block is typed at a prompt, whose lines may show."""
    words = block.split()
    while words[0] == "$" or ASSIGNMENT.match(words[0]):
        words = words[1:]
    return Path(words[0]).name in PROGRAMS or words[0] == "."


def commands(page: Path) -> Iterator[list[str]]:
    """Every command in the blocks of a page, as words."""
    for block in filter(is_shell, BLOCK.findall(text_of(page))):
        lines = [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]
        if typed := [line[2:] for line in lines if line.startswith("$ ")]:
            lines = typed  # what stands between them was printed
        for line in lines:
            yield from _commands(line)


def rest(page: Path) -> str:
    """The prose of a page, with the blocks that nobody types."""
    return BLOCK.sub(lambda its: "" if is_shell(its[0]) else its[0], text_of(page))


def spans(text: str) -> list[str]:
    """What stands between backticks."""
    return [" ".join(span.split()) for span in SPAN.findall(text)]


def _commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    for apart, words in groupby(lexer, SEPARATORS.__contains__):
        command = list(words)
        while command and ASSIGNMENT.match(command[0]):
            command = command[1:]
        if command and not apart:
            yield command

"""What the site has beyond the Markdown of docs/.

README is its home, a file of the repository that a page links to has a page of its own.
"""

from __future__ import annotations

import re
from os.path import relpath
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()[^)#\s:]+(?=[)#])")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "bash", ".toml": "toml"}
HOME = """\
---
hide: [navigation]
---

"""
SOURCE = """\
---
search: {{exclude: true}}
hide: [navigation, toc]
---

# {name}

``````{language}
{text}
``````
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages that a pattern of the navigation means, those that are named apart."""
    named = {*re.findall(r"[\w./-]+\.md", str(config.nav))}
    config.nav = _listed(config.nav, named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README as the home page, and a page for each file outside docs/ that is linked to."""
    home = File.generated(config, "index.md", content=HOME + (ROOT / "README.md").read_text())
    files.append(home)
    pages = [page for page in files if page.src_uri.endswith(".md")]
    linked = {target for page in pages for target in _targets(page) if _is_outside(target)}
    for path in sorted(linked):
        name = path.relative_to(ROOT).as_posix()
        language = LANGUAGES.get(path.suffix, "text")
        text = SOURCE.format(name=name, language=language, text=path.read_text().rstrip())
        files.append(File.generated(config, f"source/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links where they lead in the repository."""
    return LINK.sub(lambda link: _in_site(page.file, link[0]), markdown)


def _listed(entries: list[Any], named: set[str]) -> list[Any]:
    made: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            ((title, its),) = entry.items()
            made.append({title: _listed(its, named) if isinstance(its, list) else its})
        elif "*" in entry:
            found = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob(entry))
            made += [{Path(path).stem: path} for path in found if path not in named]
        else:
            made.append(entry)
    return made


def _place(file: File) -> Path:
    """Where a page lies in the repository."""
    return ROOT / "README.md" if file.src_uri == "index.md" else DOCS / file.src_uri


def _targets(file: File) -> set[Path]:
    folder = _place(file).parent
    return {(folder / path).resolve() for path in LINK.findall(file.content_string)}


def _is_outside(path: Path) -> bool:
    """Whether a file of the repository is shown on a page of its own."""
    return path.is_file() and DOCS not in path.parents and path != ROOT / "README.md"


def _in_site(file: File, link: str) -> str:
    """A link of a page as the site has it."""
    if file.src_uri.startswith("source/"):
        return link
    target = (_place(file).parent / link).resolve()
    if target == ROOT / "README.md":
        there = "index.md"
    elif _is_outside(target):
        there = f"source/{target.relative_to(ROOT).as_posix()}.md"
    elif target.exists() and DOCS in target.parents:
        there = target.relative_to(DOCS).as_posix()
    else:
        return link
    return relpath(there, Path(file.src_uri).parent)

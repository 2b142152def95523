"""A hook of mkdocs: pages of the site that do not lie under ``docs/``.

Model cards, the architecture and the changes have their places in the repository, where people look
for them. Links between any two pages are written as they hold in the repository; here they are
turned into those of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<=\]\()([\w./-]+)(?=[#)])")


def outside_pages() -> dict[str, str]:
    """Path in the site of each page outside of ``docs/``, by its path in the repository."""
    cards = sorted((ROOT / "inference/zoo").glob("*/CARD.md"))
    return {
        "ARCHITECTURE.md": "architecture.md",
        "CHANGELOG.md": "changelog.md",
        **{str(each.relative_to(ROOT)): f"cards/{each.parent.name}.md" for each in cards},
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for place, page in outside_pages().items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / place)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page, which hold in the repository, into those of the site."""
    pages = outside_pages()
    here = page.file.src_uri
    folder = posixpath.dirname(
        next((old for old, new in pages.items() if new == here), f"docs/{here}")
    )

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        new = pages.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(new, posixpath.dirname(here) or ".")

    return _LINK.sub(turned, markdown)

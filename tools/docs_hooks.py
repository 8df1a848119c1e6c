"""What `mkdocs.yml` hooks in: the README and the READMEs of folders become pages of the site, their links too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "android_export/README.md": "android_export.md",
    "web/README.md": "web.md",
    "notebooks/README.md": "notebooks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSES/weights-and-data.md": "licences.md",
    "results/README.md": "results.md",
}
"""Files outside docs/, and where they lie in the site."""

_LINK = re.compile(r"(\]\()([^)#:\s]+)([^)\s]*\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for source, page in PAGES.items():
        if (ROOT / source).is_file():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=_relinked(text, (ROOT / source).parent)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links out of docs/ into links to those pages."""
    if page.file.abs_src_path is None:
        return markdown
    return _relinked(markdown, Path(page.file.abs_src_path).parent)


def _relinked(text: str, folder: Path) -> str:
    """Return Markdown with its links as the site needs them; what is no page becomes plain text."""

    def link(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        inside = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        if target.is_dir():
            inside += "/README.md"
        if inside.startswith("docs/"):
            return f"{match[1]}{_from(folder, inside.removeprefix('docs/'))}{match[3]}"
        return f"{match[1]}{_from(folder, PAGES[inside])}{match[3]}" if inside in PAGES else match[0]

    return _LINK.sub(link, text)


def _from(folder: Path, page: str) -> str:
    """Return a page's address as seen from a folder of docs/; pages from elsewhere lie at the top."""
    docs = ROOT / "docs"
    depth = len(folder.relative_to(docs).parts) if folder.is_relative_to(docs) else 0
    return "../" * depth + page

"""Every file, link and command that a README names exists."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Without the pages of tools/upstream, which are about SpeechBrain's folders.
PAGES = [
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "*/*.md", "recipes/*/*.md")
    for path in sorted(ROOT.glob(pattern))
]
#: Packages whose commands READMEs may name.
OURS = ("cry_modules", "data_prep", "recipes")


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page(name))
    local = [t for t in targets if not re.match(r"\w+:|<", t)]
    missing = [
        t for t in local if not (ROOT / name).parent.joinpath(t).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_files_of_the_code_exist(name):
    folders = (
        "cry_modules|data_prep|recipes|hparams|tests|tools|benchmarks|docs"
    )
    named = re.findall(
        rf"`((?:{folders})/[\w./-]+\.(?:py|yaml|md))`", page(name)
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_commands_exist(name):
    modules = re.findall(r"python -m ([a-z_.]+)", page(name))
    ours = {m for m in modules if m.split(".")[0] in OURS}
    assert [m for m in sorted(ours) if find_spec(m.rstrip(".")) is None] == []

"""The page: its numbers are those of the files, names are escaped, no patient is
named, and a browser shows all of it at any width."""

import base64
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import studies
import yaml

from data_prep.files.errors import InputError
from recipes.study.encoders import ENCODERS, table_rows
from recipes.study.report.page import make_report

HOSTILE = "<script>document.title='owned'</script> \"quoted\" & 'so'"
SMALL, LARGE = (390, 844), (1280, 900)
#: Script that writes a browser's measurements into the page.
PROBE = """
<script>
const errors = [];
window.addEventListener("error", (e) => errors.push(String(e.message)));
window.addEventListener("load", () => {
  const box = (e) => e.getBoundingClientRect();
  const measured = {
    errors: errors,
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - innerWidth,
    images: [...document.querySelectorAll("img")].map((e) => e.naturalWidth),
    pictures: [...document.querySelectorAll("figure svg")].map((e) => ({
      width: box(e).width, height: box(e).height,
      title: e.querySelector("title")?.textContent, role: e.getAttribute("role"),
    })),
    rasters: [...document.querySelectorAll("svg image")].length,
    twice: [...document.querySelectorAll("[id]")].map((e) => e.id)
      .filter((id, i, all) => all.indexOf(id) != i),
    links: [...document.querySelectorAll("a[href^='#']")]
      .filter((e) => !document.querySelector(e.getAttribute("href"))).length,
    outside: performance.getEntriesByType("resource")
      .filter((e) => !e.name.startsWith("data:")).map((e) => e.name),
  };
  const note = document.createElement("pre");
  note.id = "probe";
  note.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(measured))));
  document.body.append(note);
});
</script>
"""


def tables_of(text):
    """Cells of the tables of a page, by the table's id."""
    return {
        name: [
            [
                html.unescape(re.sub("<[^>]+>", "", cell.replace("<br>", " ")))
                for cell in re.findall(
                    r"<t[dh]\b[^>]*>(.*?)</t[dh]>", row, re.S
                )
            ]
            for row in re.findall("<tr.*?</tr>", table, re.S)
        ]
        for name, table in re.findall(
            r'<table id="([^"]+)">(.*?)</table>', text, re.S
        )
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study whose classifiers are done, with names that must be escaped."""
    folder = tmp_path_factory.mktemp("study")
    settings = studies.whole(folder, title=HOSTILE)
    settings["tasks"]["neuro"]["classes"] = ["healthy", "<b>injury</b>"]
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    plan = studies.plan_of(settings)
    studies.pretend(plan)
    with studies.fewer_draws():
        page = make_report(folder)
        yield plan, page, page.read_text("utf-8")


def test_files_have_the_same_numbers(study):
    _, page, text = study
    numbers = json.loads((page.parent / "results.json").read_text())
    # One table of all encoders on the page.
    rows = {row[0]: row for row in tables_of(text)["encoders_neuro"]}
    assert "linear 8,194, linear on blocks 8,194" in text
    markdown = (page.parent / "tables.md").read_text()
    latex = (page.parent / "tables.tex").read_text()
    assert len(numbers["tables"]["encoders_neuro"]) == 8 * 4
    for row in numbers["tables"]["encoders_neuro"]:
        for i, cell in enumerate(row["cells"], start=1):
            value = f"{cell['mean']:.3f} ± {cell['sd']:.3f}"
            assert rows[row["label"]][i].startswith(value)
            assert value in markdown
            assert value.replace("±", r"$\pm$") in latex
    for row in numbers["tables"]["table_1"]:  # the paper's layout, in files
        for cell in row["cells"]:
            assert f"{cell['mean']:.3f} ± {cell['sd']:.3f}" in markdown
    assert len(numbers["claims"]) == 6  # the paper's four, two of ours
    for claim in numbers["claims"]:
        assert f">{claim['verdict']}</span>" in text


def test_every_difference_has_the_one_that_80_percent_of_studies_find(study):
    _, page, text = study
    numbers = json.loads((page.parent / "results.json").read_text())
    markdown = (page.parent / "tables.md").read_text()
    shown = tables_of(text)
    for entry in numbers["pairs"]:
        rows = shown[f"pairs_{entry['task']}_{entry['mode']}"]
        place = rows[0].index("found with 80 % power")
        for row, cells in zip(entry["rows"], rows[1:], strict=True):
            text_of = "none"  # of two seeds: no AUC differs by more than 1
            if row["detectable"] is not None:
                text_of = f"{row['detectable']:.3f}"
                assert row["detectable"] > np.diff(row["ci95"])[0] / 2
            assert cells[place] == text_of
            line = f"| {cells[place - 1]} | {cells[place]} |"
            assert f"| {row['a']} | {row['b']} | " in markdown
            assert line.replace("&lt;", "<") in markdown
    rows = shown["control-differences"]
    place = rows[0].index("found with 80 % power")
    numbered = [float(c[place]) for c in rows[1:] if c[place] != "none"]
    assert numbered and all(0 < number <= 1 for number in numbered)
    for claim in numbers["claims"]:
        for part in claim["parts"]:
            if part["detectable"] is not None:
                assert f">{part['detectable']:.3f}</td>" in text


def test_names_are_escaped(study):
    _, _, text = study
    assert "<script" not in text.lower()
    assert "<b>" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;injury&lt;/b&gt;" in text


def test_no_patient_path_or_date_is_named(study):
    plan, page, _ = study
    out = str(plan.settings.output_folder)
    # These files are for this machine alone.
    private = {"doubtful.csv", "doubtful_trigger.csv"}
    assert private <= {file.name for file in page.parent.iterdir()}
    for file in page.parent.iterdir():
        if file.name in private:
            continue
        if file.suffix in (".html", ".md", ".tex", ".csv", ".json"):
            text = file.read_text("utf-8")
            assert "SECRET" not in text, file
            assert out not in text, file
            assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text), file


def test_nothing_comes_from_the_network(study):
    text = re.sub(r'<a href="https://[^"]+">', "", study[2])
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "@import" not in text and "url(http" not in text
    assert len(text.encode()) < 15e6


def test_the_page_is_reproducible(study):
    _, page, text = study
    make_report(page.parent)
    assert page.read_text("utf-8") == text


def test_folders_without_a_study_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no study.yaml"):
        make_report(tmp_path)
    settings = studies.settings(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(InputError, match="no classifier .* is done"):
        make_report(tmp_path)


def test_the_page_has_only_parts_of_the_study(tmp_path):
    names = ["random_calibrated", "simclr", "adapt_all", "adapt_replay"]
    settings = studies.settings(
        tmp_path, encoders=names, modes=["linear", "linear_bn"]
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    studies.pretend(studies.plan_of(settings))
    with studies.fewer_draws():
        text = make_report(tmp_path).read_text("utf-8")
    tables = tables_of(text)
    # All rows of table 1 would be in table 2; there is one fraction and task.
    numbers = json.loads((tmp_path / "results.json").read_text())["tables"]
    assert not {"table_1", "few_labels", "table_3"} & {*tables, *numbers}
    assert [row["label"] for row in numbers["table_2"]] == [
        ENCODERS[name].label for name in table_rows(2) if name in names
    ]
    rows = [row[0] for row in tables["encoders_neuro"][1:]]
    assert sorted(rows) == sorted(
        f"{ENCODERS[name].label}, {mode}"
        for name in names
        for mode in ("linear", "linear+BN")
    )
    for name, encoder in ENCODERS.items():
        assert (encoder.label in text) == (name in names)
    assert "end to end" not in re.sub(r"<h3>.*?</h3>", "", text)
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links <= set(re.findall(r'id="([^"]+)"', text))
    assert "labels" not in links and "forgetting" in links
    claims = json.loads((tmp_path / "results.json").read_text())["claims"]
    assert [claim["claim"] for claim in claims] == ["2", "4"]
    assert [claim["left_out"] for claim in claims] == [1, 5]


def browse(page, tmp_path, size):
    """A browser's measurements of a page, its console, and its DOM."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    text = page.read_text("utf-8")
    copy = tmp_path / "page.html"
    copy.write_text(text.replace("<head>", f"<head>{PROBE}", 1))
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu"]
        + ["--enable-logging=stderr", f"--window-size={size[0]},{size[1]}"]
        + [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=9000"]
        + ["--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    measured = re.search(r'<pre id="probe">([^<]+)</pre>', done.stdout)
    assert measured, done.stderr[-2000:]
    console = [x for x in done.stderr.splitlines() if "CONSOLE" in x]
    return json.loads(base64.b64decode(measured.group(1))), console, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "size",
    [pytest.param(SMALL, marks=pytest.mark.representative), LARGE],
    ids=["phone", "desktop"],
)
def test_a_browser_shows_all_of_it(study, tmp_path, size):
    measured, console, dom = browse(study[1], tmp_path, size)
    assert not console and not measured["errors"]
    assert measured["outside"] == []
    assert measured["overflow"] <= 0, "the page is wider than the screen"
    assert measured["twice"] == [] and measured["links"] == 0
    assert all(width > 0 for width in measured["images"])
    assert len(measured["pictures"]) >= 6
    for picture in measured["pictures"]:
        assert picture["role"] == "img" and picture["title"]
        assert picture["height"] > 15
        # Legible on a phone: wider pictures scroll within their frames.
        assert picture["width"] >= 300
    # The browser parses the tables as they were written.
    assert (
        tables_of(dom)["encoders_neuro"]
        == (tables_of(study[2])["encoders_neuro"])
    )

#!/usr/bin/env python3
"""Run a notebook without Jupyter, and write it as a page.

> python tools/run_notebook.py docs/notebooks/night.ipynb night.html

Cells run in one process in the folder of the notebook, as in Jupyter: lines
``!command`` go to the shell, with ``{expressions}`` replaced. The page shows
what they print, the value of the last line, pictures and sounds. The first cell
or command that fails ends it.
"""

import ast
import base64
import contextlib
import html
import io
import os
import re
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import markdown
import matplotlib.pyplot as plt
import soundfile

from data_prep.files.arguments import Arguments
from data_prep.files.atomic import require_writable
from data_prep.files.errors import one_line_errors, require
from data_prep.files.option_values import path as a_path
from data_prep.files.parent import program_ends_with_parent
from data_prep.files.shapes import read_json
from data_prep.files.tables import write_text

#: A line for the shell, and those that it is continued in.
_SHELL = re.compile(r"^([ \t]*)!((?:.*\\\n)*.*)$", re.MULTILINE)
_EXPRESSION = re.compile(r"\{(.+?)\}")
_CELL = {"cell_type": str, "source": (str, [str]), str: object}
_NOTEBOOK = {"cells": [_CELL], str: object}
_LOOK = """
body { font: 16px/1.5 sans-serif; max-width: 62rem; margin: 2rem auto; }
pre { overflow-x: auto; padding: .6rem; margin: .4rem 0; font-size: .85rem; }
pre.code { background: #f2f4f7; border-left: 4px solid #0072b2; }
pre.text { max-height: 30rem; overflow-y: auto; white-space: pre-wrap; }
img { max-width: 100%; } table { border-collapse: collapse; }
td, th { padding: .2rem .7rem; border-bottom: 1px solid #ccc; text-align: left; }
"""


class Cell(NamedTuple):
    """A cell of a notebook: its kind, ``code`` or ``markdown``, and text."""

    kind: str
    source: str


class Shown:
    """A part of the page, such as a picture, as its HTML."""

    def __init__(self, content: str):
        self._content = content

    def _repr_html_(self) -> str:
        return self._content


def read_cells(path: Path) -> List[Cell]:
    """Cells of a notebook file."""
    notebook = read_json(path, _NOTEBOOK, "pass a notebook (.ipynb)")
    return [
        Cell(cell["cell_type"], "".join(cell["source"]))
        for cell in notebook["cells"]
    ]


def shell_commands(source: str) -> List[str]:
    """Commands for the shell in a cell, each on one line.

    Example
    -------
    >>> shell_commands("!ls a\\n!ls \\\\\\n  -l {work}\\nx = 1")
    ['ls a', 'ls -l {work}']
    """
    return [_one_line(match) for match in _SHELL.finditer(source)]


def _one_line(match: re.Match) -> str:
    return re.sub(r"\s*\\\n\s*", " ", match[2])


def as_python(source: str) -> str:
    """A cell with calls of ``_shell`` where it has lines for the shell.

    Example
    -------
    >>> as_python("for a in b:\\n    !ls {a}")
    "for a in b:\\n    _shell('ls {a}')"
    """
    return _SHELL.sub(lambda m: f"{m[1]}_shell({_one_line(m)!r})", source)


class Session:
    """The names of a notebook's cells, and what the last cell has shown."""

    def __init__(self):
        self.names: Dict[str, Any] = {"__name__": "__main__"}
        self.names["_shell"] = self._shell
        self._text, self._parts = io.StringIO(), []
        plt.switch_backend("agg")
        plt.show = self._take_figures
        sys.modules["IPython.display"] = self._display_module()

    def run(self, source: str) -> List[str]:
        """Run a cell; return what it shows, as HTML."""
        self._parts = []
        tree = ast.parse(as_python(source))
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        with contextlib.redirect_stdout(self._text):
            exec(compile(tree, "cell", "exec"), self.names)
            if last is not None:
                value = eval(compile(last, "cell", "eval"), self.names)
                if value is not None and not source.rstrip().endswith(";"):
                    self._show(value)
        self._take_figures()
        self._take_text()
        return self._parts

    def _shell(self, command: str) -> None:
        """Run a command, and print what is left on the screen when it ends."""
        command = _EXPRESSION.sub(
            lambda match: str(eval(match[1], self.names)), command
        )
        done = subprocess.run(
            command, shell=True, encoding="utf-8", errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=program_ends_with_parent(),
        )  # fmt: skip
        for line in done.stdout.rstrip().split("\n"):
            print(line.rstrip("\r").rpartition("\r")[2])
        if done.returncode:
            raise RuntimeError(
                f"{done.stdout}\nstatus {done.returncode} of: {command}"
            )

    def _take_text(self) -> None:
        text = self._text.getvalue()
        if text:
            self._parts.append(f"<pre class=text>{html.escape(text)}</pre>")
        self._text.seek(0)
        self._text.truncate()

    def _take_figures(self) -> None:
        """Show all open figures, as at the end of a cell in Jupyter."""
        self._take_text()
        for number in plt.get_fignums():
            file = io.BytesIO()
            plt.figure(number).savefig(file, dpi=100, bbox_inches="tight")
            self._parts.append(_embedded("img", "image/png", file.getvalue()))
            plt.close(number)

    def _show(self, *values) -> None:
        self._take_text()
        for value in values:
            in_html = getattr(value, "_repr_html_", None)
            text = f"<pre class=text>{html.escape(repr(value))}</pre>"
            self._parts.append(in_html() if in_html else text)

    def _display_module(self) -> types.ModuleType:
        """Make the part of IPython.display that notebooks use."""
        module = types.ModuleType("IPython.display")
        module.display = self._show
        module.HTML = lambda data: Shown(data)
        module.Markdown = lambda data: Shown(_as_html(data))
        module.Image = lambda filename, width=900: Shown(
            _embedded(
                f"img width={width}", "image/png", Path(filename).read_bytes()
            )
        )
        module.Audio = lambda data=None, filename=None, rate=None: Shown(
            _embedded("audio controls", "audio/wav", _wav(data, filename, rate))
        )
        return module


def _wav(samples, filename, rate) -> bytes:
    if filename is not None:
        samples, rate = soundfile.read(filename)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def _embedded(tag: str, kind: str, content: bytes) -> str:
    data = base64.b64encode(content).decode("ascii")
    return f'<p><{tag} src="data:{kind};base64,{data}"></{tag.split()[0]}></p>'


def _as_html(text: str) -> str:
    return markdown.markdown(text, extensions=["tables", "fenced_code"])


def run_notebook(path: Path) -> str:
    """Run a notebook; return its page."""
    cells, parts = read_cells(path), []
    os.chdir(Path(path).parent)
    session = Session()
    for number, (kind, source) in enumerate(cells, start=1):
        if kind == "markdown":
            parts.append(_as_html(source))
            continue
        began = time.monotonic()
        parts.append(f"<pre class=code>{html.escape(source)}</pre>")
        parts += session.run(source)
        spent = time.monotonic() - began
        print(f"cell {number} of {len(cells)}: {spent:.1f} s", flush=True)
    return (
        f"<!DOCTYPE html><meta charset=utf-8><title>{Path(path).stem}</title>"
        f"<style>{_LOOK}</style>\n" + "\n".join(parts)
    )


def main() -> None:
    """Parse the command line, run the notebook and write the page."""
    parser = Arguments(
        description="Run a notebook without Jupyter, and write it as a page."
    )
    parser.add_argument("notebook", type=a_path, help="file (.ipynb)")
    parser.add_argument("page", type=a_path, help="page to write (.html)")
    args = parser.parse_args()
    with one_line_errors():
        page = Path(args.page).absolute()
        require_writable(page)
        require(
            page.suffix.lower() != ".ipynb",
            f"{args.page} is a notebook",
            "pass the page to write (.html)",
        )
        write_text(page, run_notebook(Path(args.notebook).absolute()))
        print(f"page in {args.page}")


if __name__ == "__main__":
    main()

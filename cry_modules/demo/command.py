"""A page on this machine: drop a recording, see what a classifier says of it.

    python -m cry_modules.demo MODEL --open

Nobody else can open the page, it fetches nothing from elsewhere, and what is
uploaded is deleted when it is scored. For research: not a medical device.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import webbrowser
from contextlib import suppress
from typing import Optional, Sequence

from cry_modules.checkpoints.saved_model import SavedModel, load_model
from cry_modules.demo.page import about_model, caution, error, hear, result
from cry_modules.demo.server import HOST, Sealed, ended_by_signals, listen, run
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.options import check_run_opts
from data_prep.files.errors import InputError, one_line_errors

_LARGEST = "500mb"  # of an upload: 10 minutes, and room for odd formats
#: What is uploaded and never scored, because the page was closed, is deleted
#: after so many seconds; how often that is looked for.
_FORGET_S, _LOOK_EVERY_S = 300, 60

_TITLE = "A cry, and what a classifier makes of it"
_PRIVATE = (
    "<p>Drop a recording below, or choose the microphone to record one. It "
    "stays on this machine: it is deleted when it is scored, and nothing is "
    "sent anywhere.</p>"
)
_STYLE = """
.gradio-container { overflow: visible !important; }
.gradio-container main { max-width: 900px; margin: auto; }
#always { position: sticky; top: 0; z-index: 100; overflow: visible;
  background: var(--body-background-fill); }
#caution { background: #ffe9a8; color: #2b2000; border: 2px solid #8a6100;
  border-radius: 6px; padding: 8px 12px; margin: 0; }
#caution strong { color: inherit; }
#recording .source-selection button { color: var(--body-text-color);
  width: 24px; height: 24px; margin: 0 12px; }
#recording .source-selection button.selected { outline: 2px solid; }
#recording [data-testid="upload-text"], #recording .or {
  color: var(--body-text-color); }
#scores h2 { font-size: 1.2em; overflow-wrap: anywhere; }
#scores .call { font-size: 1.15em; margin: 12px 0; }
#scores table, #scores tr { border: 0; }
#scores table { border-collapse: collapse; width: 100%; margin: 12px 0; }
#scores caption { text-align: left; font-weight: 600; }
#scores th, #scores td { text-align: left; padding: 4px 12px 4px 0;
  border: 0; overflow-wrap: anywhere; }
#scores thead th { font-weight: 400; white-space: nowrap; }
#scores tbody td { font-variant-numeric: tabular-nums; white-space: nowrap; }
#scores em { white-space: nowrap; }
#scores .bar { width: 50%; padding-right: 0; }
@media (max-width: 640px) { #scores .bar { width: 30%; } }
#scores .bar > div { border: 1px solid currentColor; height: 14px; }
#scores .bar > div > div { background: #0072b2; height: 100%; }
#scores figure { margin: 12px 0; }
#scores img { width: 100%; box-sizing: border-box; padding: 8px;
  background: white; border-radius: 6px; }
#scores audio { width: 100%; max-width: 500px; margin-top: 4px; }
.error { border: 2px solid #d03030; border-radius: 6px; padding: 8px 12px;
  overflow-wrap: anywhere; }
"""


def score(classifier: CryClassifier, path: str) -> str:
    """Score an upload, and delete it."""
    about = classifier.hparams
    try:
        heard = hear(classifier, path)
        return result(heard, about.classes, about.threshold, about.chunk_s)
    except InputError as reason:
        return error(str(reason))
    finally:
        forget(path)


def forget(path: str) -> None:
    """Delete an upload and the folder it has for itself.

    Example
    -------
    >>> folder = getfixture("tmpdir").mkdir("upload")
    >>> folder.join("a.wav").write("")
    >>> forget(str(folder.join("a.wav")))
    >>> folder.exists()
    False
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    # The same recording uploaded twice shares a folder.
    with suppress(OSError):
        os.rmdir(os.path.dirname(path))


def quiet_gradio(folder: str) -> None:
    """Have Gradio tell nobody and leave uploads in one folder; before it is
    imported.
    """
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]  # it might share, store or report
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def make_app(model: SavedModel, classifier: CryClassifier, source: str):
    """The page, and what serves it.

    Gradio must not have been imported before ``quiet_gradio``.
    """
    import gradio
    from fastapi import FastAPI

    page = make_page(model, classifier, source)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Sealed)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    return gradio.mount_gradio_app(
        app,
        page,
        "/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=_LARGEST,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gradio.themes.Default(**fonts),
        css=_STYLE,
    )


def make_page(model: SavedModel, classifier: CryClassifier, source: str):
    """The page."""
    import gradio

    with gradio.Blocks(
        title=_TITLE,
        analytics_enabled=False,
        delete_cache=(_LOOK_EVERY_S, _FORGET_S),
    ) as page:
        gradio.HTML(caution(), elem_id="always")
        gradio.HTML(f"<h1>{_TITLE}</h1>{about_model(model, source)}{_PRIVATE}")
        recording = gradio.Audio(
            sources=["upload", "microphone"],
            type="filepath",
            label="Recording: WAV, FLAC, OGG or MP3, up to 10 minutes",
            editable=False,
            buttons=[],
            elem_id="recording",
        )
        scores = gradio.HTML(elem_id="result")
        gradio.on(
            [recording.upload, recording.stop_recording],
            # The page lets go of the recording, which is no longer there.
            lambda path: (None, score(classifier, path)),
            recording,
            [recording, scores],
            api_visibility="private",
            concurrency_limit=1,
            trigger_mode="multiple",
            show_progress_on=scores,
        )
    return page


def serve(source: str, port: int, device: str, opens: bool) -> None:
    """Load a model and serve its page until Ctrl-C or SIGTERM."""
    if importlib.util.find_spec("gradio") is None:
        raise InputError(
            "the page needs Gradio, which is not installed; pip install "
            "'cry-ssl[demo]'"
        )
    check_run_opts({"device": device})
    model = load_model(source)
    if model.posterior is None:
        raise InputError(
            f"{source} is an encoder and knows no classes; pass a classifier "
            "(train_cls.py trains one on it)"
        )
    classifier = CryClassifier.from_model(model, {"device": device})
    private = tempfile.TemporaryDirectory(prefix="cry_ssl_demo_")
    with listen(port) as server, private as folder:
        quiet_gradio(folder)
        app = make_app(model, classifier, source)
        url = f"http://{HOST}:{server.getsockname()[1]}"
        print(f"listening on {url} for this machine only; Ctrl-C ends it")
        sys.stdout.flush()
        if opens:
            webbrowser.open(url)
        run(app, server)


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m cry_modules.demo",
        description=__doc__.split("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="exported folder, results folder of train_cls.py, or Hugging "
        "Face id",
    )
    parser.add_argument(
        "--port", type=int, default=7860, help="0: any that is free"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument(
        "--open", action="store_true", help="open the page in a browser"
    )
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    args = make_parser().parse_args(argv)
    with one_line_errors(), ended_by_signals():
        serve(args.model, args.port, args.device, args.open)

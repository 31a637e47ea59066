"""The Gradio page: upload a recording, see its scores."""

import os
from contextlib import suppress

from cry_modules.checkpoints.saved_model import SavedModel
from cry_modules.demo.page import caution, error, model_line, result, score
from cry_modules.demo.server import HOST, LocalOnly
from cry_modules.inference.classifier import CryClassifier
from data_prep.files.errors import InputError

_LARGEST = "500mb"  # of an upload: 10 minutes in any format
#: Age at which an upload that was not scored is deleted, as the page was
#: closed, and interval at which ages are checked; seconds.
_DELETE_AFTER_S, _CHECK_EVERY_S = 300, 60

_TITLE = "A cry, and the scores of a classifier"
_PRIVATE = (
    "<p>Drop a recording below, or choose the microphone to record one. It "
    "stays on this machine: it is deleted as soon as it is scored, and nothing "
    "is sent anywhere.</p>"
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


def score_upload(classifier: CryClassifier, path: str) -> str:
    """Score an upload as HTML, and delete it."""
    hparams = classifier.hparams
    try:
        scored = score(classifier, path)
        return result(
            scored, hparams.classes, hparams.threshold, hparams.chunk_s
        )
    except InputError as reason:
        return error(str(reason))
    finally:
        _delete(path)


def _delete(path):
    """Delete an upload and its folder."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    # Two uploads of the same recording share a folder.
    with suppress(OSError):
        os.rmdir(os.path.dirname(path))


def restrict_gradio(folder: str) -> None:
    """Keep Gradio's uploads in one folder, and its telemetry off.

    Has an effect only before Gradio is imported.
    """
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]  # might share, store or report
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def make_app(model: SavedModel, classifier: CryClassifier, source: str):
    """Make the ASGI application that serves the page."""
    import gradio
    from fastapi import FastAPI

    page = _make_page(model, classifier, source)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(LocalOnly)
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


def _make_page(model, classifier, source):
    import gradio

    with gradio.Blocks(
        title=_TITLE,
        analytics_enabled=False,
        delete_cache=(_CHECK_EVERY_S, _DELETE_AFTER_S),
    ) as page:
        gradio.HTML(caution(), elem_id="always")
        gradio.HTML(f"<h1>{_TITLE}</h1>{model_line(model, source)}{_PRIVATE}")
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
            # The first output clears the recording, which is deleted.
            lambda path: (None, score_upload(classifier, path)),
            recording,
            [recording, scores],
            api_visibility="private",
            concurrency_limit=1,
            trigger_mode="multiple",
            show_progress_on=scores,
        )
    return page

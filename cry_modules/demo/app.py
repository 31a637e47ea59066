"""The Gradio page: upload a recording, see its scores."""

import os
from contextlib import suppress

from cry_modules.checkpoints.description import CAUTION
from cry_modules.checkpoints.saved_model import SavedModel
from cry_modules.demo.page import describe, render, result, score
from cry_modules.demo.server import HOST, LocalOnly
from cry_modules.inference.classifier import CryClassifier
from data_prep.files.errors import InputError

_LARGEST = "500mb"  # of an upload: 10 minutes in any format
#: Age at which an upload that was not scored is deleted, as the page was
#: closed, and interval at which ages are checked; seconds.
_DELETE_AFTER_S, _CHECK_EVERY_S = 300, 60

_TITLE = "A cry, and the scores of a classifier"


def score_upload(classifier: CryClassifier, path: str) -> str:
    """Score an upload as HTML, and delete it."""
    try:
        return result(score(classifier, path), classifier.hparams)
    except InputError as reason:
        return render("scores.html.j2", error=reason)
    finally:
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

    with gradio.Blocks(
        title=_TITLE,
        analytics_enabled=False,
        delete_cache=(_CHECK_EVERY_S, _DELETE_AFTER_S),
    ) as page:
        gradio.HTML(render("caution.html.j2", text=CAUTION), elem_id="always")
        gradio.HTML(describe(model, source, _TITLE))
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
        css=render("style.css.j2"),
    )

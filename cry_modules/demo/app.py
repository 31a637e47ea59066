"""The Gradio page: upload a recording, see its scores."""

import os
from contextlib import suppress
from typing import Optional

from cry_modules.checkpoints.saved_model import SavedModel
from cry_modules.demo.page import describe, render, result, score
from cry_modules.demo.server import HOST, NO_TOKEN, LocalOnly
from cry_modules.demo.uploads import LARGEST, Uploads
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.options import CAUTION
from data_prep.files.errors import InputError

#: Age at which an upload that was not scored is deleted, as the page was
#: closed, and interval at which ages are checked; seconds.
_DELETE_AFTER_S, _CHECK_EVERY_S = 300, 60

_TITLE = "A cry, and the scores of a classifier"


def score_upload(
    classifier: CryClassifier, path: str, name: Optional[str] = None
) -> str:
    """Score an upload as HTML, and delete it; ``name`` replaces the file's."""
    try:
        return result(score(classifier, path, name), classifier.hparams)
    except InputError as reason:
        return render("scores.html.j2", error=reason)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
        # Two uploads of the same recording share a folder.
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))


def restrict_gradio(folder: str) -> None:
    """Keep Gradio's uploads in one folder, and its telemetry off; a page of
    this machine needs no proxy, and Gradio fails at some.

    Has an effect only before Gradio is imported.
    """
    for name in list(os.environ):
        # Gradio's own options might share, store or report.
        if name.startswith("GRADIO_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def make_app(
    model: SavedModel,
    classifier: CryClassifier,
    source: str,
    uploads: Uploads,
    token: str,
):
    """Make the ASGI application that serves the page, below ``/<token>/``."""
    import gradio
    from fastapi import FastAPI
    from starlette.responses import PlainTextResponse

    page = _page(gradio, model, classifier, source, uploads)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(LocalOnly)

    async def receive(request):
        answer = await uploads.receive(request)
        page.upload_file_set.update(uploads.paths())  # deleted when old
        return answer

    async def progress(_):
        done = 'data: {"msg": "done"}\n\n'
        return PlainTextResponse(done, media_type="text/event-stream")

    async def elsewhere(_):
        return PlainTextResponse(NO_TOKEN, 403)

    # Before Gradio's own, which keeps the files' names.
    app.add_route(f"/{token}/gradio_api/upload", receive, ["POST"])
    app.add_route(f"/{token}/gradio_api/upload_progress", progress, ["GET"])
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    gradio.mount_gradio_app(
        app,
        page,
        f"/{token}",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=LARGEST,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gradio.themes.Default(**fonts),
        css=render("style.css.j2"),
    )
    app.add_route("/{path:path}", elsewhere, ["GET", "POST", "HEAD"])
    return app


def _page(gradio, model, classifier, source, uploads):
    """The page's parts, and what happens at an upload."""

    def answer(path):
        try:
            name = uploads.name_of(path)
        except InputError as reason:
            return None, render("scores.html.j2", error=reason)
        try:
            # The first output clears the recording, which is deleted.
            return None, score_upload(classifier, path, name)
        finally:
            uploads.delete(path)

    async def only_uploads(path):
        try:
            uploads.name_of(path)
        except InputError as reason:
            raise gradio.Error(str(reason), print_exception=False)
        return path

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
        # Gradio would copy any file, and download any URL, of a request.
        recording.async_move_resource_to_block_cache = only_uploads
        scores = gradio.HTML(elem_id="result")
        gradio.on(
            [recording.upload, recording.stop_recording],
            answer,
            recording,
            [recording, scores],
            api_visibility="private",
            concurrency_limit=1,
            trigger_mode="multiple",
            show_progress_on=scores,
        )
    return page

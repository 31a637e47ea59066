"""Small tables of scores with their recordings, and a review of them."""

import csv
import http.client
import json
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import soundfile

from cry_modules.demo.server import listen
from cry_modules.review.cases import read_scores
from cry_modules.review.decisions import Decisions
from cry_modules.review.handler import Server
from cry_modules.review.locate import place, read_recordings
from cry_modules.review.order import make_queue, ordered
from cry_modules.review.session import Session, Settings

TOKEN = "token-of-a-test-0123456789"
#: Label and score of injury of six recordings, and their patients and that of
#: a seventh, which has no scores.
SCORED = [
    *(("healthy", 0.1), ("injury", 0.45), ("healthy", 0.9)),
    *(("injury", 0.52), ("healthy", 0.3), ("injury", 0.02)),
]
PATIENTS = ["P0", "P1", "P0", "P2", "P2", "P3", "P1"]


def write_csv(path, header, rows):
    """Write a csv file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def read_csv(path):
    """Rows of a csv file as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def name_of(i):
    """Path of a recording, with an umlaut and a quote."""
    return f"audio/Säugling's {i}.wav"


def make_clinic(folder):
    """Six recordings, their table, and predictions; a seventh has no scores."""
    rng = np.random.default_rng(0)
    rows, scores = [], []
    for i, (label, p) in enumerate([*SCORED, ("healthy", None)]):
        path = folder / "db" / name_of(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.05, 2000 + 1000 * i), 8000)
        rows.append([f"r{i}", PATIENTS[i], name_of(i), label, "north"])
        if p is not None:
            cells = [f"r{i}", PATIENTS[i], label, 1 - p, p, name_of(i)]
            scores.append(cells)
    columns = "recording_id,patient_id,path,neuro_injury,site"
    write_csv(folder / "db/recordings.csv", columns, rows)
    columns = "ID,patient_id,label,healthy,injury,path"
    write_csv(folder / "predictions_test.csv", columns, scores)
    return folder


def make_night(folder, seconds=20):
    """A recording with three events; the sound grows over time."""
    sig = np.random.default_rng(0).normal(0, 0.05, 8000 * seconds)
    sig *= np.linspace(0.2, 1, len(sig))
    (folder / "night").mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "night/n.flac", sig, 8000)
    events = [("n.flac", 2 + 6 * k, 4 + 6 * k, "cry", s) for k, s in
              enumerate((0.9, 0.6, 0.7))]  # fmt: skip
    columns = "recording,onset_s,offset_s,label,score"
    write_csv(folder / "events.csv", columns, events)
    return folder


@contextmanager
def session_of(scores, recordings, share=0.0, order=None, **settings):
    """A session on a table of scores, and its journal."""
    table = read_scores(scores)
    place(table, read_recordings(str(recordings), None, {}))
    cases = ordered(table, order)
    settings = {"classes": table.classes, **settings}
    with Decisions(scores.with_suffix(".jsonl"), {"scores": "x"}) as decisions:
        queue = make_queue(cases, share)
        session = Session(table.cases, queue, decisions, Settings(**settings))
        session.table, session.decisions = table, decisions
        yield session


def sent(shown, decision, note="", seconds=1.0):
    """A decision as the page sends it; any word but two is a label."""
    is_label = decision not in ("excluded", "unsure")
    return {
        "n": shown["n"],
        "version": shown["version"],
        "decision": "label" if is_label else decision,
        "label": decision if is_label else "",
        "seconds": seconds,
        "note": note,
    }


@contextmanager
def serving(session):
    """Serve a session; yield ``ask(path, body=None, token=TOKEN, **headers)``,
    which returns status, headers and bytes."""
    with listen(0) as socket:
        server = Server(socket, session, TOKEN)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host, port = socket.getsockname()

        def ask(path, body=None, token=TOKEN, method=None, **headers):
            client = http.client.HTTPConnection(host, port, timeout=20)
            body = json.dumps(body) if isinstance(body, dict) else body
            method = method or ("GET" if body is None else "POST")
            names = {k.replace("_", "-"): v for k, v in headers.items()}
            address = quote(f"/{token}/{path}", safe="/%?")
            client.request(method, address, body, names)
            answer = client.getresponse()
            content = answer.read()
            client.close()
            return SimpleNamespace(
                status=answer.status, headers=answer.headers, content=content
            )

        ask.address = f"{host}:{port}"
        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()

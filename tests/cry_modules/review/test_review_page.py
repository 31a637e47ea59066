"""The page's server: its token, nothing but the listed audio, and ranges."""

import json
from io import BytesIO

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from cry_modules.review import clip
from cry_modules.review.handler import byte_range
from tests.reviews import (
    make_clinic,
    make_night,
    name_of,
    sent,
    serving,
    session_of,
    write_csv,
)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    return make_clinic(tmp_path_factory.mktemp("clinic"))


@pytest.fixture
def ask(clinic):
    scores = clinic / "predictions_test.csv"
    scores.with_suffix(".jsonl").unlink(missing_ok=True)
    with session_of(scores, clinic / "db", order="given") as session:
        with serving(session) as ask:
            yield ask


@pytest.mark.parametrize(
    "token", ["", "x" * 26, "token", "..", "%74oken-of-a-test-0123456789", "é"]
)
def test_nothing_without_the_token(ask, token):
    for path in ("", "page.js", "case", "case/0", "audio/0"):
        answer = ask(path, token=token)
        assert answer.status == 403
        assert b"address that the command printed" in answer.content
    for path in ("decide", "undo"):
        assert ask(path, {}, token=token).status == 403
    assert ask("case").content.count(b'"done": 0')


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "a.example"},
        {"Origin": "http://a.example"},
        {"Origin": "null"},
        {"Host": "127.0.0.1.a.example:80"},
    ],
)
def test_other_sites_are_refused(ask, headers):
    assert ask("case", **headers).status == 403
    assert ask("undo", {}, **headers).status == 403
    headers = {"Host": ask.address, "Origin": f"http://{ask.address}"}
    assert ask("case", **headers).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd"),
        *("handler.py", "page.html.j2", "page.js.j2", "predictions_test.csv"),
        *("audio/99", "audio/-1", "audio/r0", "audio/0/../1", "audio//etc"),
        *(f"audio/{name_of(0)}", "audio/0.wav"),
        *("audio/%2e%2e", "picture/0", "picture/0/dark-huge", "case/1e3"),
        *("audio/" + "9" * 30, "audio/٣"),
    ],
)
def test_no_other_file_is_served(ask, path):
    assert ask(path).status == 404
    assert ask(path, {}).status == 404


def test_the_page_stores_nothing_and_loads_nothing_from_elsewhere(ask):
    for path in ("", "page.js", "page.css", "case", "audio/0", "none"):
        headers = ask(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "server" not in headers
    page = ask("").content.decode()
    assert "http" not in page.replace("http-equiv", "")
    assert "<kbd>1</kbd> healthy" in page and "<h2>Keys</h2>" in page


def test_names_of_labels_are_escaped(clinic):
    classes = ["<img src=x>", "\"'"]
    scores = clinic / "predictions_test.csv"
    with session_of(scores, clinic / "db", classes=classes) as session:
        with serving(session) as ask:
            page = ask("").content.decode()
    assert "<img src=x>" not in page and "&lt;img src=x&gt;" in page
    assert 'data-label="&#34;&#39;"' in page


def test_the_page_names_keys_and_files(tmp_path, clinic):
    files = {"journal": "a<b>.decisions.jsonl", "out": "a<b>\udcff.csv"}
    pages = {}
    for scores, folder in (
        (make_night(tmp_path) / "events.csv", tmp_path / "night"),
        (clinic / "predictions_test.csv", clinic / "db"),
    ):
        with session_of(scores, folder, **files) as session:
            with serving(session) as ask:
                page = ask("").content.decode()
        assert "at once, in a&lt;b&gt;.decisions.jsonl." in page
        assert "new table,\na&lt;b&gt;\\udcff.csv" in page
        pages[scores.name] = page
    events, predictions = pages.values()
    assert "<kbd>1</kbd> = cry, <kbd>2</kbd> = other:" in events
    assert "<kbd>1</kbd> = healthy, <kbd>2</kbd> = injury:" in predictions
    for words in ("<b>other</b> marks a false alarm", "cannot be moved here"):
        assert words in events and words not in predictions


def test_the_sound_is_the_recording_at_one_peak(ask, clinic):
    for i in range(2):
        answer = ask(f"audio/{i}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "audio/wav"
        sig, rate = soundfile.read(BytesIO(answer.content))
        original, _ = soundfile.read(clinic / "db" / name_of(i))
        assert rate == 8000 and np.abs(sig).max() == pytest.approx(
            0.9, abs=1e-4
        )
        expected = original * 0.9 / np.abs(original).max()
        # Rounded to 16 bits; full scale is 32767 or 32768.
        np.testing.assert_allclose(sig, expected, atol=2**-14)


@pytest.mark.parametrize(
    "wanted, begin, end",
    [
        ("bytes=0-", 0, None),
        ("bytes=0-0", 0, 1),
        ("bytes=1-2", 1, 3),
        ("bytes=30-60", 30, 61),
        ("bytes=43-44", 43, 45),
        ("bytes=101-1000", 101, 1001),
        ("bytes=500-999999", 500, None),
        ("bytes=-7", -7, None),
    ],
)
def test_a_browser_can_seek(ask, wanted, begin, end):
    whole = ask("audio/3").content
    part = ask("audio/3", Range=wanted)
    assert part.content == whole[begin:end]
    first = begin % len(whole)
    last = first + len(part.content) - 1
    assert part.status == 206
    assert part.headers["accept-ranges"] == "bytes"
    assert part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


def test_ranges_that_are_not_there(ask):
    size = len(ask("audio/0").content)
    for wanted in (f"bytes={size}-", "bytes=9-3", "bytes=-0"):
        answer = ask("audio/0", Range=wanted)
        assert answer.status == 416 and answer.content == b""
        assert answer.headers["content-range"] == f"bytes */{size}"
    for wanted in ("bytes=-", "bytes=0-1,3-4", "seconds=1-2", "bytes=a-b"):
        assert byte_range(wanted, size) == (0, size)
        assert ask("audio/0", Range=wanted).status == 200


def test_the_sound_of_an_event(tmp_path):
    folder = make_night(tmp_path)
    with session_of(
        folder / "events.csv", folder / "night", order="given", around_s=1
    ) as session, serving(session) as ask:
        sig, _ = soundfile.read(BytesIO(ask("audio/1").content))
        original, _ = soundfile.read(folder / "night/n.flac")
        part = original[7 * 8000 : 11 * 8000]
        expected = part * 0.9 / np.abs(part).max()
        np.testing.assert_allclose(sig, expected, atol=2**-14)


def test_the_channel_of_an_event(tmp_path):
    rng = np.random.default_rng(0)
    stereo = rng.normal(0, [0.01, 0.1], (8000 * 8, 2))
    stereo[:, 0] += 0.3 * np.sin(np.arange(len(stereo)))
    soundfile.write(tmp_path / "s.wav", stereo, 8000)
    header = "recording,channel,onset_s,offset_s,label,score"
    rows = [["s.wav", c, 1, 2, "cry", 0.5] for c in (1, 2, "", 3)]
    path = write_csv(tmp_path / "e.csv", header, rows)
    with session_of(path, tmp_path, order="given", around_s=0) as session:
        with serving(session) as ask:
            stereo, _ = soundfile.read(tmp_path / "s.wav")
            second = stereo[8000:16000]
            for n, sig in enumerate((*second.T, second.mean(axis=1))):
                sound, _ = soundfile.read(BytesIO(ask(f"audio/{n}").content))
                expected = sig * 0.9 / np.abs(sig).max()
                np.testing.assert_allclose(sound, expected, atol=2**-14)
            pictures = [ask(f"picture/{n}/light-wide").content for n in (0, 1)]
            assert pictures[0] != pictures[1]
            fault = session.show(3)["fault"]
            assert fault.startswith("the event is of channel 3, and the rec")


def test_pictures_of_both_themes_and_widths(ask):
    pictures = {
        (theme, width): ask(f"picture/2/{theme}-{width}").content
        for theme in ("light", "dark")
        for width in ("wide", "narrow")
    }
    assert len(set(pictures.values())) == 4
    for (theme, width), png in pictures.items():
        image = imread(BytesIO(png))
        assert image[0, 0, 3] == 0  # the page's background
        ratio = image.shape[1] / image.shape[0]
        assert ratio == pytest.approx(3 if width == "wide" else 4.2 / 2.6, 0.01)
        ink = image[..., :3][image[..., 3] == 1].mean()
        assert ink > 0
    assert ask("picture/2/dark-wide").content == pictures["dark", "wide"]


def test_decisions_and_faults_of_requests(ask):
    shown = json.loads(ask("case").content)
    answer = ask("decide", sent(shown, "injury"))
    assert answer.status == 200 and json.loads(answer.content)["n"] == 1
    answer = ask("decide", sent(shown, "healthy"))
    assert answer.status == 409 and b"another window" in answer.content
    assert json.loads(ask("undo", {}).content)["n"] == 0
    answer = ask("undo", {})
    assert answer.status == 400 and b"nothing to undo" in answer.content
    for body in ("", "{", "[]", "null", '"' * 70000, "[" * 5000):
        answer = ask("decide", body, method="POST")
        assert answer.status == 400 and json.loads(answer.content)["error"]
    assert ask("case", method="PUT").status == 501


def test_a_window_is_read_in_blocks(tmp_path, monkeypatch):
    """The same samples, however many blocks: one peak, and zeros where the
    file ends before its header says."""
    sig = np.random.default_rng(0).normal(0, 0.05, 1000).astype(np.float32)
    sig[7] = np.nan
    soundfile.write(tmp_path / "a.wav", sig, 8000, "FLOAT")
    window = clip.Clip(str(tmp_path / "a.wav"), 8000, 100, 950, 1.0)
    expected = np.nan_to_num(sig)[100:] * (clip.PEAK / np.abs(sig[100:]).max())
    for size in (1 << 20, 64, 7):
        monkeypatch.setattr(clip, "_BLOCK", size)
        clip.wav.cache_clear()
        heard, rate = soundfile.read(BytesIO(clip.wav(window)))
        assert rate == 8000 and len(heard) == 950
        np.testing.assert_allclose(heard[:900], expected, atol=1 / 32768)
        assert not heard[900:].any()
    clip.wav.cache_clear()

"""The command with a real browser, and killed in the middle of a review."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlparse

import pytest

from tests.browsers import chromium, fetched, wait_for
from tests.reviews import make_clinic, make_night, read_csv, sent

ADDRESS = (
    r"listening for this machine only; open (http://127\.0\.0\.1:\d+/\S+/) "
)


@contextlib.contextmanager
def reviewing(folder, *arguments):
    """Start the command; yield its process and address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cry_modules.review", *arguments, "--port=0"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder),
             "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    late = threading.Timer(240, process.kill)
    late.start()
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        match = re.match(ADDRESS, lines[1])
        assert match, (lines, process.stderr.read())
        yield process, match[1]
    finally:
        late.cancel()
        process.kill()
        process.wait()


def ended(process, stop=signal.SIGINT):
    """Printed lines of the command, which is ended."""
    process.send_signal(stop)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), err
    return out


def ask(url, path, body=None):
    place = urlparse(url)
    client = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    body = None if body is None else json.dumps(body)
    client.request("POST" if body else "GET", place.path + path, body)
    return json.loads(client.getresponse().read())


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_command_loses_nothing(tmp_path, stop):
    make_clinic(tmp_path)
    arguments = ["predictions_test.csv", "db"]
    with reviewing(tmp_path, *arguments) as (process, url):
        shown = ask(url, "decide", sent(ask(url, "case"), "injury"))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "reviewed.csv").exists()
    with reviewing(tmp_path, *arguments) as (process, url):
        again = ask(url, "case")
        assert (again["n"], again["done"]) == (shown["n"], 1)
        assert len(read_csv(tmp_path / "reviewed.csv")) == 6
        ask(url, "decide", sent(again, "excluded"))
        out = ended(process, stop)
    assert out.startswith("2 of 6 cases are reviewed: 1 kept, 0 relabelled, 1")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        *("db", "predictions_test.csv", "reviewed.csv"),
        "reviewed.decisions.jsonl",
    }


def until(session, script, value=True):
    """Wait until a script returns a value."""
    for _ in range(1200):
        if (result := session.execute_script(f"return {script}")) == value:
            return
        time.sleep(0.05)
    pytest.fail(f"{script} is {result!r}, not {value!r}")


def explained_in(session, size):
    """Check that a window of a size shows the first case and the keys."""
    session.set_window_size(*size)
    script = "document.getElementById('keys').getBoundingClientRect().bottom"
    until(session, f"{script} < innerHeight && innerHeight <= {size[1]}")


def press(session, key, position):
    """Press a key; wait for the case that is shown afterwards."""
    session.find_element("tag name", "body").send_keys(key)
    until(session, "by('position').textContent", f"Case {position} of 3")


def watch_and_listen(session):
    """Spectrogram, sound, the key of both, and a range request."""
    until(session, "isLoaded()")
    until(session, "by('figure').classList.contains('loading')", False)
    until(session, "audio.readyState >= 2 && audio.duration", 7)
    session.execute_script("audio.pause()")
    press(session, " ", 1)
    until(session, "audio.currentTime > 0.2")
    press(session, " ", 1)
    until(session, "audio.paused")
    session.execute_script("audio.currentTime = 5")  # a range request
    until(session, "!audio.seeking && audio.currentTime == 5")


@pytest.mark.slow
@pytest.mark.representative
def test_a_reviewer_at_a_browser(tmp_path):
    from selenium.webdriver.common.keys import Keys

    make_night(tmp_path)
    arguments = ["events.csv", "night", "--classes", "cat", "<b>x</b>"]
    arguments += ["--order=given", "--reviewer=AB"]
    with chromium() as session, reviewing(tmp_path, *arguments) as started:
        process, url = started
        session.get(url)
        until(session, "by('position').textContent", "Case 1 of 3")
        explained_in(session, (1200, 900))
        session.set_window_size(400, 700)
        facts = "label: cry · score of cry: 0.9000 · event: 2.00 s to 4.00 s"
        assert facts in session.find_element("id", "facts").text
        watch_and_listen(session)
        # Decide, go back and forth, change, undo.
        press(session, "9", 1)
        words = "The key 9 does nothing here. Keys: 1 = cry, 2 = other, 3 = cat"
        assert session.find_element("id", "message").text.startswith(words)
        press(session, "3", 2)  # cat
        assert not session.find_element("id", "message").is_displayed()
        press(session, "x", 3)
        press(session, Keys.ARROW_LEFT, 2)
        assert session.find_element("id", "decided").text.endswith("excluded")
        press(session, "u", 3)
        press(session, "z", 2)
        text = session.find_element("id", "decided").text
        assert text == "undone: unsure · decided: excluded"
        assert session.find_element("id", "count").text == "2 of 3"
        # Keys are letters in a note, which is stored with the decision.
        press(session, Keys.ARROW_RIGHT, 3)
        press(session, "n", 3)
        session.switch_to.active_element.send_keys("x1 zu", Keys.ESCAPE)
        wait_for(session, "button[data-label='<b>x</b>']").click()
        until(session, "by('count').textContent", "3 of 3")
        assert (
            "all cases are decided"
            in session.find_element("id", "decided").text
        )
        # After a reload, everything is there, and the first case is shown.
        session.refresh()
        until(session, "by('count').textContent", "3 of 3")
        assert session.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
        )
        assert "Keys" in session.find_element("id", "keys").text
        urls = [urlparse(address) for address in fetched(session)]
        hosts = {u.hostname for u in urls if u.scheme not in ("data", "blob")}
        assert len(urls) > 10 and hosts == {"127.0.0.1"}
        assert session.get_log("browser") == []
        out = ended(process)
        press(session, "1", 1)
        until(session, "by('message').textContent.includes('has ended')")
    assert out.startswith("3 of 3 cases are reviewed: 0 kept, 2 relabelled, 1")
    rows = read_csv(tmp_path / "reviewed.csv")
    assert [row["reviewed_label"] for row in rows] == ["cat", "", "<b>x</b>"]
    assert rows[2]["note"] == "x1 zu" and rows[0]["reviewer"] == "AB"
    assert all(float(row["seconds"]) < 200 for row in rows)

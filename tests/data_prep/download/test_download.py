"""From nothing to recordings.csv, from a server on loopback."""

import csv
import hashlib
import os
import shutil
import socket
import sys
import threading
from dataclasses import replace

import pytest

from data_prep.download import transfer
from data_prep.download.__main__ import download, main, table
from data_prep.download.registry import CORPORA, Source
from tests.data_prep.download.test_archives import FILES, split, write_zip

pytest.importorskip("pooch")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


def rows_of(out):
    with open(out / "recordings.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_from_nothing_to_recordings_in_one_command(
    server, serve, zipped, esc50, out, capsys
):
    serve(zipped(esc50))
    main(["esc50", "--out", str(out)])
    assert len(rows_of(out)) == 61
    assert (out / "train.csv").is_file()
    printed = capsys.readouterr().out
    assert printed.startswith("ESC-50. Licence: CC BY-NC 3.0 (its ESC-10 part")
    assert f"--recordings_csv {out}/recordings.csv --label_column sound" in (
        printed
    )
    assert server.asked == [("ESC-50.zip", None)]
    # Again, without a server or the archive: nothing is downloaded.
    shutil.rmtree(out / "archives")
    server.status = 500
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.*")}
    main(["esc50", "--out", str(out)])
    after = {p: p.stat().st_mtime_ns for p in out.rglob("*.*")}
    assert before == after and len(server.asked) == 1


@pytest.mark.parametrize("has_checksum", [True, False])
def test_a_cut_is_resumed_where_it_was(server, served, out, has_checksum):
    content = served(has_checksum)
    server.cut = [5120, 3072]
    assert download("esc50", out)
    ranges = [wanted for _, wanted in server.asked]
    assert ranges == [None, "bytes=5120-", "bytes=8192-"]
    assert (out / "archives/ESC-50.zip").read_bytes() == content


def test_the_next_command_goes_on_with_a_half_file(
    server, served, out, refused
):
    content = served()
    server.cut = [5120, 0]
    line = refused(download, "esc50", out)
    assert line.startswith("the connection to 127.0.0.1 was lost (")
    assert "0.0 MB are kept; check the network and run the same" in line
    part = out / "archives/ESC-50.zip.part"
    assert part.read_bytes() == content[:5120]
    assert download("esc50", out)
    assert server.asked[-1] == ("ESC-50.zip", "bytes=5120-")
    assert os.listdir(out / "archives") == ["ESC-50.zip"]


def test_a_whole_half_file_needs_nothing_more(server, served, out):
    content = served()
    (out / "archives").mkdir(parents=True)
    (out / "archives/ESC-50.zip.part").write_bytes(content)
    assert download("esc50", out)
    assert server.asked == [("ESC-50.zip", f"bytes={len(content)}-")]


def test_a_half_file_that_is_longer_than_the_file(server, served, out):
    content = served()
    (out / "archives").mkdir(parents=True)
    (out / "archives/ESC-50.zip.part").write_bytes(content + b"more")
    assert download("esc50", out)
    assert server.asked[-1] == ("ESC-50.zip", None)


def test_a_server_that_cannot_resume_begins_again(
    server, served, out, caplog, refused
):
    content = served()
    server.has_range, server.cut = False, [5120, 4096]
    line = refused(download, "esc50", out)  # no further than before
    assert "the connection to 127.0.0.1 was lost" in line
    assert "cannot resume in the middle of this file; the" in caplog.text
    assert download("esc50", out)
    assert (out / "archives/ESC-50.zip").read_bytes() == content


def test_a_server_that_sends_another_part(server, served, out, refused):
    content = served(has_checksum=False)
    server.says_range, server.cut = False, [5120]
    assert download("esc50", out)
    assert [r for _, r in server.asked] == [None, "bytes=5120-", None]
    assert (out / "archives/ESC-50.zip").read_bytes() == content


def test_the_checksum_of_what_is_no_archive_is_not_kept(
    server, served, out, refused
):
    served(has_checksum=False)
    server.files["ESC-50.zip"] = b"oops"
    line = refused(download, "esc50", out)
    assert "cannot be unpacked (File is not a zip file); delete it" in line
    assert os.listdir(out / "archives") == ["ESC-50.zip"]
    (out / "archives/ESC-50.zip").unlink()
    served(has_checksum=False)
    assert download("esc50", out)


@pytest.mark.parametrize("has_version", [True, False])
def test_halves_of_two_versions_are_not_joined(
    server, served, out, refused, has_version
):
    server.has_version = has_version
    served(has_checksum=False)
    server.cut = [5120, 0]
    refused(download, "esc50", out)
    content = served(has_checksum=False, version=b"2")
    assert download("esc50", out)
    assert (out / "archives/ESC-50.zip").read_bytes() == content


def test_a_wrong_checksum_is_refused_and_removed(server, served, out, refused):
    served()
    server.files["ESC-50.zip"] = b"x" * 9000
    line = refused(download, "esc50", out)
    assert "is not the file with the checksum md5:" in line
    assert line.endswith("was removed; run the same command again")
    assert os.listdir(out / "archives") == []
    # One that was put there by hand is downloaded again.
    (out / "archives/ESC-50.zip").write_bytes(b"x")
    served()
    assert download("esc50", out)


def test_the_first_checksum_is_trusted_later(
    server, served, out, refused, caplog
):
    caplog.set_level("INFO")
    served(has_checksum=False)
    assert download("esc50", out)
    assert "no checksum is published; that of this download is kept" in (
        caplog.text
    )
    beside = out / "archives/ESC-50.zip.checksum"
    assert beside.read_text().startswith("sha256:")
    shutil.rmtree(out / "corpus")
    (out / "archives/ESC-50.zip").unlink()
    served(has_checksum=False, version=b"2")
    line = refused(download, "esc50", out)
    assert f"has a new version, delete {beside}" in line
    beside.write_text("?")
    assert "holds no checksum; delete it" in refused(download, "esc50", out)
    beside.unlink()
    assert download("esc50", out)


@pytest.mark.parametrize(
    "status, words",
    [
        (
            404,
            "cannot be had (the server answers 404 Not Found); download http",
        ),
        (403, "answers 403 Forbidden); download http"),
        (503, "127.0.0.1 is busy or down (it answers 503); run the same"),
    ],
)
def test_answers_without_the_file(server, served, out, refused, status, words):
    served()
    server.status = status
    line = refused(download, "esc50", out)
    assert words in line
    assert f"by hand, on another computer if need be, and put it at {out}" in (
        line
    )


def test_a_web_page_instead_of_the_file(server, served, out, refused):
    served(has_checksum=False)
    server.kind = "text/html; charset=utf-8"
    line = refused(download, "esc50", out)
    assert "answers with a web page, as the login of a network does" in line
    assert os.listdir(out / "archives") == []


def test_no_network(served, out, refused, monkeypatch):
    content = served()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    corpus = CORPORA["esc50"]
    (source,) = corpus.sources
    address = f"http://127.0.0.1:{port}/ESC-50.zip"
    sources = [replace(source, address=address)]
    monkeypatch.setitem(CORPORA, "esc50", replace(corpus, sources=sources))
    line = refused(download, "esc50", out)
    path = out / "archives/ESC-50.zip"
    assert line.startswith("127.0.0.1 cannot be reached")
    assert f"download {address} by hand" in line and str(path) in line
    path.write_bytes(content)  # as the line says
    assert download("esc50", out)


def test_a_server_that_says_nothing(server, served, out, refused, monkeypatch):
    served()
    server.waits = threading.Event()
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.2)
    line = refused(download, "esc50", out)
    server.waits.set()
    assert "127.0.0.1 cannot be reached (" in line


def test_a_full_disk(server, served, out, refused, monkeypatch):
    served()
    usage = shutil.disk_usage("/")._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(transfer.shutil, "disk_usage", lambda _: usage)
        line = refused(download, "esc50", out)
    assert "has 0.0 GB free, and the rest of ESC-50.zip needs" in line
    corpus = CORPORA["esc50"]
    sources = [replace(corpus.sources[0], gigabytes=1e9)]
    monkeypatch.setitem(CORPORA, "esc50", replace(corpus, sources=sources))
    line = refused(download, "esc50", out)
    assert "and ESC-50 (1000000000.0 GB to download, about 150" in line


def test_a_disk_that_fills_up_keeps_the_half(
    server, served, out, monkeypatch, capsys
):
    content = served()
    written = []

    class Bar(transfer.tqdm):
        def update(self, n):
            written.append(n)
            if len(written) == 4:
                raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "tqdm", Bar)
        with pytest.raises(SystemExit) as stop:
            main(["esc50", "--out", str(out)])
    assert stop.value.code == 2
    assert "No space left on device; free some space" in (
        capsys.readouterr().err
    )
    part = out / "archives/ESC-50.zip.part"
    assert part.read_bytes() == content[:4096]


def test_ctrl_c_is_one_line_and_resumes(
    server, served, out, monkeypatch, capsys
):
    served()

    class Bar(transfer.tqdm):
        def update(self, n):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "tqdm", Bar)
        with pytest.raises(SystemExit) as stop:
            main(["esc50", "--out", str(out)])
    assert stop.value.code == 1
    err = capsys.readouterr().err
    assert "Interrupted. Run the same command again to resume." in err
    assert "Traceback" not in err
    main(["esc50", "--out", str(out)])
    assert server.asked[-1] == ("ESC-50.zip", "bytes=1024-")


def test_parts_of_a_split_archive(server, out, tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    write_zip(path)
    split(path, [300])
    sources = []
    for name in ("x.z01", "x.zip"):
        content = server.files[name] = (tmp_path / name).read_bytes()
        md5 = f"md5:{hashlib.md5(content).hexdigest()}"
        sources.append(Source(server.address(name), 0.0, md5, part=name))

    def prepare(root, save_folder):
        (out / "recordings.csv").write_text("done")

    corpus = replace(
        CORPORA["esc50"], sources=sources, root=".", prepare=prepare
    )
    monkeypatch.setitem(CORPORA, "esc50", corpus)
    assert download("esc50", out) and download("esc50", out)
    assert len(server.asked) == 2
    for name, content in FILES.items():
        assert (out / "corpus" / name).read_bytes() == content


def test_a_folder_of_other_recordings(server, served, out, refused):
    served()
    out.mkdir()
    (out / "recordings.csv").write_text("mine")
    line = refused(download, "esc50", out)
    assert f"holds other recordings ({out}/recordings.csv); pass anot" in line
    (out / "recordings.csv").unlink()
    assert download("esc50", out)
    assert not download("cryceleb", out.with_name("other"))
    line = refused(download, "cryceleb", out)
    assert "/ESC-50.zip); pass another --out for CryCeleb2023" in line


def test_files_that_are_got_by_hand(write, tmp_path, out, capsys):
    """CryCeleb: a form; VGGSound: a table, and a folder to fill."""
    with pytest.raises(SystemExit) as stop:
        main(["cryceleb", "--out", str(out)])
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "accept the conditions on its page" in printed
    assert f"{out}/archives/metadata.csv, {out}/archives/audio.zip" in printed
    assert not (out / "recordings.csv").exists()


def test_a_folder_that_is_filled_by_hand(
    server, write, tmp_path, out, capsys, monkeypatch
):
    ids = [f"video{i}" for i in range(12)]
    lines = [f"{name},{i},{'ab'[i % 2]},train" for i, name in enumerate(ids)]
    server.files["vggsound.csv"] = "\n".join(lines).encode()
    corpus = CORPORA["vggsound"]
    sources = [Source(server.address("vggsound.csv"), 0.0)]
    monkeypatch.setitem(CORPORA, "vggsound", replace(corpus, sources=sources))
    with pytest.raises(SystemExit) as stop:
        main(["vggsound", "--out", str(out)])
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "the clips are videos of YouTube" in printed
    assert f"Put there: {out}/corpus/audio" in printed
    for i, name in enumerate(ids):
        path = write(f"{name}_{i:06d}.wav")
        path.rename(out / f"corpus/audio/{path.name}")
    main(["vggsound", "--out", str(out)])
    assert (out / "train.csv").is_file() and len(server.asked) == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "a corpus and --out are needed; type python -m data_prep.downl"),
        (["esc50"], "a corpus and --out are needed"),
        (["esc-50", "--out", "{}"], "'esc-50' is not a corpus that this comm"),
        (["ESC50", "--out", "{}"], "(did you mean esc50?); those are esc50"),
        (["esc50", "--out", "{}", "--parts", "dev"], "--parts dev is not a p"),
        (["fsd50k", "--out", "{}", "--parts", "test"], "its parts are dev, e"),
    ],
)
def test_wrong_usage(arguments, words, out, capsys):
    with pytest.raises(SystemExit) as stop:
        main([argument.format(out) for argument in arguments])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_without_pooch(out, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(SystemExit):
        main(["esc50", "--out", str(out)])
    err = capsys.readouterr().err
    assert err.endswith("the extra: pip install 'cry-ssl[download]'\n")
    assert not out.exists()


def test_the_registry_says_what_it_must():
    for name, corpus in CORPORA.items():
        assert name in table() and corpus.licence and corpus.citation
        names = [source.file_name for source in corpus.sources]
        assert len(set(names)) == len(names) and all(names)
        for source in corpus.sources:
            assert source.address.startswith("https://")
            kind, _, digest = source.checksum.partition(":")
            assert len(digest) == {"md5": 32, "sha256": 64, "": 0}[kind]
    parts = CORPORA["fsd50k"].chosen(["eval"])
    assert [s.part for s in parts] == ["", "", "eval", "eval"]

"""From the files that each corpus publishes, laid out as there, to its tables."""

import csv
import hashlib
import io
import shutil
import tarfile
import zipfile
from dataclasses import replace
from functools import partial

import pytest

from data_prep.download.__main__ import main
from data_prep.download.registry import CORPORA
from data_prep.fsd50k_prepare import prepare_fsd50k
from tests.data_prep import (
    test_corvin_prepare,
    test_cryceleb_prepare,
    test_donateacry_prepare,
    test_fsd50k_prepare,
    test_speech_commands_prepare,
    test_urbansound8k_prepare,
)

pytest.importorskip("pooch")

corvin = test_corvin_prepare.corvin
cryceleb = test_cryceleb_prepare.cryceleb
donateacry = test_donateacry_prepare.donateacry
fsd50k = test_fsd50k_prepare.fsd50k
speech_commands = test_speech_commands_prepare.speech_commands
urbansound8k = test_urbansound8k_prepare.urbansound8k

#: Folder in the archive that has the files of SRC, and other files beside it.
_CRIES = "BabyCriesDiscomfortPain-1/OpenData/cry_sequences_22babies/"
LAYOUTS = {
    "corvin": (_CRIES, ["BabyCriesDiscomfortPain-1/OpenData/other/a.wav"]),
    "donateacry": ("donateacry-corpus-1/", ["donateacry-corpus-1/README.md"]),
    "urbansound8k": ("UrbanSound8K/", ["UrbanSound8K/audio/.DS_Store"]),
    "speech_commands": ("./", ["./README.md", "./LICENSE"]),
    "esc50": ("ESC-50-master/", ["ESC-50-master/audio/.gitignore"]),
}
#: Rows of the tables that the fixtures write.
N_ROWS = {"corvin": 36, "donateacry": 37, "urbansound8k": 40, "esc50": 61,
          "speech_commands": 48, "fsd50k": 36, "cryceleb": 32}  # fmt: skip


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


def archive(name, files):
    """Bytes of a zip or tar.gz of files, their contents by name."""
    content = io.BytesIO()
    if name.endswith(".tar.gz"):
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for member, data in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(content, "w") as zipped:
            for member, data in files.items():
                zipped.writestr(member, data)
    return content.getvalue()


def files_of(folder, prefix=""):
    return {
        prefix + p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def published(server, monkeypatch, corpus, contents, **changed):
    """Serve contents by file name, in place of a corpus's own addresses."""
    sources = []
    for source in CORPORA[corpus].sources:
        if source.file_name in contents:
            content = contents[source.file_name]
            server.files[source.file_name] = content
            known = (
                source.checksum and f"md5:{hashlib.md5(content).hexdigest()}"
            )
            address = server.address(source.file_name)
            changes = {"address": address, "checksum": known, "gigabytes": 0.0}
            sources.append(replace(source, **changes))
    changed = replace(CORPORA[corpus], sources=sources, **changed)
    monkeypatch.setitem(CORPORA, corpus, changed)


def prepared(corpus, out, *options, n_rows=None):
    main([corpus, "--out", str(out), *options])
    for split in ("train", "valid", "test"):
        assert (out / f"{split}.csv").is_file()
    with open(out / "recordings.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == (n_rows or N_ROWS[corpus])


@pytest.mark.parametrize("corpus", LAYOUTS)
def test_one_archive(corpus, request, server, monkeypatch, out):
    folder = request.getfixturevalue(corpus)
    prefix, others = LAYOUTS[corpus]
    files = {**dict.fromkeys(others, b"x"), **files_of(folder, prefix)}
    (source,) = CORPORA[corpus].sources
    contents = {source.file_name: archive(source.file_name, files)}
    published(server, monkeypatch, corpus, contents)
    prepared(corpus, out)


@pytest.mark.parametrize("parts", [[], ["--parts", "eval"]])
def test_tables_and_audio_apart(parts, fsd50k, server, monkeypatch, out):
    contents = {}
    for folder in fsd50k.iterdir():
        name = f"{folder.name}.zip"
        contents[name] = archive(name, files_of(folder, f"{folder.name}/"))
    assert len(contents) == 4
    prepare = partial(prepare_fsd50k, labels=["Crying_and_sobbing", "Cat"])
    published(server, monkeypatch, "fsd50k", contents, prepare=prepare)
    if parts:
        prepared("fsd50k", out, *parts, n_rows=12)
    prepared("fsd50k", out)


def test_files_behind_a_form(cryceleb, out):
    with pytest.raises(SystemExit):
        main(["cryceleb", "--out", str(out)])
    audio = archive("audio.zip", files_of(cryceleb / "audio", "audio/"))
    (out / "archives/audio.zip").write_bytes(audio)
    shutil.copy(cryceleb / "metadata.csv", out / "archives")
    prepared("cryceleb", out)

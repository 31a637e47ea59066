"""Corpora that ``python -m data_prep.download`` knows: where they are, what they
may be used for, and which preparation follows.

Addresses and checksums are those that the corpora's own pages, or a well-known
reader of the corpus, publish; each entry names its source. A checksum that
nobody publishes is empty here: that of the first download is kept then.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Callable, Dict, List, Sequence
from urllib.parse import urlsplit

from data_prep.corvin_prepare import prepare_corvin
from data_prep.cryceleb_prepare import prepare_cryceleb
from data_prep.donateacry_prepare import prepare_donateacry
from data_prep.esc50_prepare import prepare_esc50
from data_prep.files.errors import require
from data_prep.fsd50k_prepare import prepare_fsd50k
from data_prep.speech_commands_prepare import prepare_speech_commands
from data_prep.urbansound8k_prepare import prepare_urbansound8k
from data_prep.vggsound_prepare import prepare_vggsound


@dataclass(frozen=True)
class Source:
    """One file of a corpus."""

    address: str  #: of the file; of the page with the form if it is by hand
    gigabytes: float  #: about
    checksum: str = ""  #: ``md5:...`` or ``sha256:...``, empty if unpublished
    name: str = ""  #: of the file here; default: the last part of the address
    part: str = ""  #: of the corpus that it belongs to; empty: to all
    by_hand: bool = False  #: behind a form, so that the user downloads it

    @property
    def file_name(self) -> str:
        """Name of the file here."""
        return self.name or PurePosixPath(urlsplit(self.address).path).name


@dataclass(frozen=True)
class Corpus:
    """A corpus, its terms, and what prepares it."""

    title: str
    use: str
    licence: str
    citation: str
    sources: Sequence[Source]
    prepare: Callable[..., None]  #: ``prepare(SRC, OUT)``
    task: str  #: options of train_cls.py to begin with; empty without labels
    root: str = "."  #: SRC in the unpacked files, a pattern
    #: Folder in SRC that the user fills by hand, and how.
    fill: str = ""
    how: str = ""

    @property
    def parts(self) -> List[str]:
        """Names of the parts that can be downloaded alone."""
        return list(dict.fromkeys(s.part for s in self.sources if s.part))

    def chosen(self, parts: Sequence[str]) -> List[Source]:
        """Files of some parts; of all without a choice."""
        for part in parts:
            require(
                part in self.parts,
                f"--parts {part} is not a part of {self.title}",
                f"its parts are {', '.join(self.parts)}"
                if self.parts
                else "it has none: leave out --parts",
            )
        return [
            s for s in self.sources if s.part in ("", *(parts or self.parts))
        ]


_ZENODO = "https://zenodo.org/records/{}/files/{}?download=1"


def _fsd50k(name: str, gigabytes: float, md5: str, part: str = "") -> Source:
    address = _ZENODO.format(4060432, f"FSD50K.{name}")
    return Source(address, gigabytes, f"md5:{md5}", part=part)


#: Files, gigabytes, md5 and part.
_FSD50K = (
    ("ground_truth.zip", 0, "ca27382c195e37d2269c4c866dd73485"),
    ("metadata.zip", 0, "b9ea0c829a411c1d42adb9da539ed237"),
    ("dev_audio.z01", 3.2, "faa7cf4cc076fc34a44a479a5ed862a3", "dev"),
    ("dev_audio.z02", 3.2, "8f9b66153e68571164fb1315d00bc7bc", "dev"),
    ("dev_audio.z03", 3.2, "1196ef47d267a993d30fa98af54b7159", "dev"),
    ("dev_audio.z04", 3.2, "d088ac4e11ba53daf9f7574c11cccac9", "dev"),
    ("dev_audio.z05", 3.2, "81356521aa159accd3c35de22da28c7f", "dev"),
    ("dev_audio.zip", 2.3, "c480d119b8f7a7e32fdb58f3ea4d6c5a", "dev"),
    ("eval_audio.z01", 3.2, "3090670eaeecc013ca1ff84fe4442aeb", "eval"),
    ("eval_audio.zip", 3.1, "6fa47636c3a3ad5c7dfeba99f2637982", "eval"),
)


CORPORA: Dict[str, Corpus] = {
    "esc50": Corpus(
        "ESC-50",
        "cries or other sounds, smoke tests",
        "CC BY-NC 3.0 (its ESC-10 part CC BY)",
        "Piczak 2015, ESC: Dataset for Environmental Sound Classification",
        # "Download" in the README of github.com/karolpiczak/ESC-50. The branch
        # moves, so that no checksum is published for it.
        [Source("https://github.com/karoldvl/ESC-50/archive/master.zip", 0.6,
                name="ESC-50.zip")],
        prepare_esc50, "--label_column sound --positive crying_baby",
        root="ESC-50-*",
    ),
    "donateacry": Corpus(
        "Donate-a-Cry",
        "unlabelled cries of many phones",
        "ODbL 1.0, contents DbCL 1.0",
        "Veres, donateacry-corpus (github.com/gveres/donateacry-corpus)",
        # GitHub's form of a repository's archive at a commit, the newest one
        # of github.com/gveres/donateacry-corpus.
        [Source("https://github.com/gveres/donateacry-corpus/archive/"
                "6baf5aca0460964ad072653585837f968a87c2af.zip", 0.1,
                name="donateacry-corpus.zip")],
        prepare_donateacry, "--label_column age", root="donateacry-corpus-*",
    ),
    "corvin": Corpus(
        "Corvin's 22 babies",
        "pain or discomfort, identity",
        "CC BY 4.0 (Zenodo 11061909), MIT (repository)",
        "Corvin, Massenet, Hardy, Patural, Peyron, Fauchon, Mathevon 2024, "
        "Zenodo 11061909",
        # The authors' repository, github.com/theunissenlab/
        # BabyCriesDiscomfortPain, in GitHub's form at its newest commit.
        [Source("https://github.com/theunissenlab/BabyCriesDiscomfortPain/"
                "archive/537b4bd8b9e8fa30368296b3abedae7343c47fc5.zip", 0.4,
                name="BabyCriesDiscomfortPain.zip")],
        prepare_corvin, "--label_column pain",
        root="BabyCriesDiscomfortPain-*/OpenData/cry_sequences_22babies",
    ),
    "urbansound8k": Corpus(
        "UrbanSound8K",
        "pre-training, other sounds than cries",
        "CC BY-NC 3.0",
        "Salamon, Jacoby, Bello 2014, A Dataset and Taxonomy for Urban Sound "
        "Research",
        # Zenodo's record and its md5, as soundata (urbansound8k.py) has them.
        [Source(_ZENODO.format(1203745, "UrbanSound8K.tar.gz"), 6.0,
                "md5:9aa69802bbf37fb986f71ec1483a196e")],
        prepare_urbansound8k, "--label_column category", root="UrbanSound8K",
    ),
    "fsd50k": Corpus(
        "FSD50K",
        "crying, laughter, speech, cats, music: detectors; pre-training",
        "CC BY 4.0; each clip CC0, CC BY, CC BY-NC or Sampling+",
        "Fonseca, Favory, Pons, Font, Serra 2020, FSD50K: an Open Dataset of "
        "Human-Labeled Sound Events",
        # Zenodo's record and its md5, as soundata (fsd50k.py) has them; 24.7 GB
        # of audio in two archives, in parts of 3 GiB.
        [_fsd50k(*file) for file in _FSD50K],
        prepare_fsd50k, "--label_column sound",
    ),
    "speech_commands": Corpus(
        "Speech Commands v0.02",
        "adult speech, many individuals",
        "CC BY 4.0",
        "Warden 2018, Speech Commands: A Dataset for Limited-Vocabulary Speech "
        "Recognition",
        # Address of the TensorFlow catalogue; sha256 as torchaudio's
        # SPEECHCOMMANDS has it.
        [Source("https://storage.googleapis.com/download.tensorflow.org/data/"
                "speech_commands_v0.02.tar.gz", 2.4,
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff7"
                "91c709868ff58")],
        prepare_speech_commands, "--label_column word",
    ),
    "cryceleb": Corpus(
        "CryCeleb2023",
        "adaptation, identity, birth or discharge",
        "CC BY-NC-ND 4.0, after a form",
        "Budaghyan, Onu, Gorin, Subakan, Precup 2023, CryCeleb",
        # The dataset's page; its files as its authors' script downloads them.
        [Source("https://huggingface.co/datasets/Ubenwa/CryCeleb2023", size,
                name=name, by_hand=True)
         for name, size in (("metadata.csv", 0), ("audio.zip", 0.7))],
        prepare_cryceleb, "--label_column period",
        how="accept the conditions on its page with a free account of Hugging "
        "Face, then download metadata.csv and audio.zip there",
    ),
    "vggsound": Corpus(
        "VGGSound",
        "pre-training",
        "CC BY 4.0 for the table; the videos keep their own",
        "Chen, Xie, Vedaldi, Zisserman 2020, VGGSound: A Large-scale "
        "Audio-Visual Dataset",
        # robots.ox.ac.uk/~vgg/data/vggsound.
        [Source("https://www.robots.ox.ac.uk/~vgg/data/vggsound/vggsound.csv",
                0)],
        prepare_vggsound, "", fill="audio",
        how="the clips are videos of YouTube, which its terms do not let this "
        "command download: get those of the table that you may use from a "
        "mirror or yourself, 10 s from the start that the table says, as "
        "<id>_<start, six digits>.wav (or .flac, .ogg, .mp3)",
    ),
}  # fmt: skip

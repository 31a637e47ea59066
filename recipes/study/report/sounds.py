"""Recordings and their two views in contrastive training, and the audio of
both where the corpus may be shared.
"""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import soundfile

from cry_modules.audio import RecordingReader, repeat_to
from cry_modules.checkpoints.saved_model import run_settings
from cry_modules.checkpoints.settings import RANGES, YAML_FILE, nested_setting
from cry_modules.figures.views import Pair, make_pairs
from cry_modules.front_ends import AugmentedFeatures, make_front_end
from cry_modules.views.chunks_and_masks import RandomChunks, SpecAugment
from cry_modules.views.waveform import WaveformAugment
from data_prep import manifest
from data_prep.files.errors import InputError
from recipes.study.report import corpora
from recipes.study.report.corpora import Corpus
from recipes.study.report.results import Results

_EXAMPLES = 2  # of each corpus
_EPOCH = 1
_LONGEST_S = 10.0  # the page stays small
#: Settings of ``WaveformAugment`` that switch it off.
_OFF = {"background_snr": "null", "noise_snr": "null"}
_OFF["frequency_response"] = "0"


class Example(NamedTuple):
    """A recording with its two views: title without its id, views, what made
    them, and names and data URIs of audio (none where it may not be shared)."""

    title: str
    pair: Pair
    hparams: Dict[str, Any]
    players: List[Tuple[str, str]]


def examples(
    results: Results, generic: Optional[Corpus], cries: Sequence[Corpus]
) -> List[Example]:
    """Examples of both corpora. A cry is only shown where its corpus may be
    shared: a spectrogram can be turned into sound.
    """
    settings, chosen = results.settings, []
    if generic is not None:
        run = results.plan.encoder("simclr", settings.pretraining_seeds[0])
        chosen += _examples(run, settings.generic, "generic sound", generic)
    adapted = [c for c in cries if c.purpose.startswith("adaptation")]
    if adapted and adapted[-1].shareable:
        name = next(
            name
            for name, which in corpora.adaptations(settings).items()
            if adapted[-1].purpose == corpora.adapted_to(which)
        )
        run = corpora.adaptation(results, name)
        folder = results.plan.cry_folder(name)
        chosen += _examples(run, folder, "cry", adapted[-1])
    return chosen


def recorded_views(folder: Path) -> Dict[str, Any]:
    """Reader, chunks and views of a SimCLR run, by their names in its recipe.

    They are made here from its settings: nothing that its file names is built.
    """
    settings = run_settings(folder)
    text = (folder / YAML_FILE).read_text("utf-8")
    try:
        width = nested_setting(text, "base", "augment", "mask_width")
        logmel = make_front_end(settings["front_end"])
        rate, seed = logmel.sample_rate, int(settings["seed"])
        masks = (int(settings["time_warp"]), int(settings["n_masks"]))
        before_norm = settings["augment_before_norm"].lower() == "true"
        augment = SpecAugment(*masks, int(width))
        chunks = RandomChunks(float(settings["chunk_s"]), rate, seed)
        mixed_in = {
            # Empty is null; runs from before these settings have none.
            name: RANGES[name](settings.get(name) or off)
            for name, off in _OFF.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder / YAML_FILE} is not that of a SimCLR run ({error!r}); "
            "run the study again"
        )
    return {
        "seed": seed,
        "sample_rate": rate,
        "reader": RecordingReader(rate),
        "chunks": chunks,
        "waveform_augment": WaveformAugment(rate, **mixed_in),
        "views": AugmentedFeatures(logmel, augment, before_norm),
    }


def _examples(run, root, noun, corpus) -> List[Example]:
    hparams = recorded_views(run.folder)
    rows = manifest.read(run.folder / "manifest/train.csv")
    # From the middle on: tables often begin with all of one class.
    step = max(1, len(rows) // (_EXAMPLES + 1))
    chosen = rows[step::step][:_EXAMPLES]
    return [
        Example(
            f"A {noun}, and two views of it",
            pair,
            hparams,
            _players(hparams, rec, root, pair) if corpus.shareable else [],
        )
        for rec, pair in zip(
            chosen, make_pairs(hparams, chosen, str(root), _EPOCH)
        )
    ]


def _players(hparams, rec, root, pair) -> List[Tuple[str, str]]:
    """Name and audio of the recording, and of each view's waveform."""
    rate, chunks = hparams["sample_rate"], hparams["chunks"]
    wav = str(Path(root) / rec.wav)
    sound = hparams["reader"].open(wav, rec.start, rec.stop)
    sig, longest = repeat_to(sound, chunks.n_samples), round(_LONGEST_S * rate)
    name = "whole recording"
    if len(sig) > longest:
        name = f"its first {_LONGEST_S:.0f} s"
    parts = [(name, sig[:longest] * sound.gain)]
    for i, view in enumerate(pair.wavs, start=1):
        # Scaled down where what is mixed in would clip.
        parts.append((f"view {i}", view / view.abs().max().clamp(min=1.0)))
    return [(name, data_uri(part.numpy(), rate)) for name, part in parts]


def data_uri(samples, rate: int) -> str:
    """Encode audio ``[n]`` as a data URI (WAV) for a page."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    text = base64.b64encode(file.getvalue()).decode()
    return f"data:audio/wav;base64,{text}"

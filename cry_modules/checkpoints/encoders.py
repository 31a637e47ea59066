"""The weights an encoder begins with: the option ``encoder_source``.

Weights are loaded strictly, without running code, and only behind the front
end that they were trained with.
"""

import logging
import os
import re
from pathlib import Path
from typing import Dict, Optional, Tuple, Union

from torch import nn

from cry_modules import __version__
from cry_modules.architectures import (
    ARCHITECTURES,
    architecture_of,
    is_configured,
    is_pretrained,
    kind_and_source,
    make_encoder,
    name_of,
    name_of_state,
    pooling_of_state,
)
from cry_modules.checkpoints import hub_models
from cry_modules.checkpoints.checkpointer import (
    best_checkpoint,
    damaged,
    newest_meta,
    read_meta,
)
from cry_modules.checkpoints.description import MODEL_FILE, check_unchanged
from cry_modules.checkpoints.fitting import fitting_option, length
from cry_modules.checkpoints.foreign import configured_name, read_weights
from cry_modules.checkpoints.front_end import (
    Known,
    check_statistics,
    recorded_architecture,
    recorded_front_end,
)
from cry_modules.checkpoints.public import download, is_hub_id, public_encoder
from cry_modules.checkpoints.settings import YAML_FILE
from cry_modules.checkpoints.state_dict import (
    check_fit,
    checksum_of,
    read_state_dict,
)
from cry_modules.front_ends import FRONT_ENDS, WAVEFORM, is_front_end
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.folders import file_inside

logger = logging.getLogger(__name__)

ENCODER_FILE = "encoder.ckpt"
#: SpeechBrain's name of the same file.
SPEECHBRAIN_FILE = "embedding_model.ckpt"
#: Random weights with the BatchNorm statistics of the training recordings.
CALIBRATED = "random_calibrated"


#: Folders of home folders; file names that all runs share; a part of a path that
#: says little without the one before: a seed, a study's run, a fold.
_HOMES = (["home"], ["Users"])
_WEIGHTS = (ENCODER_FILE, SPEECHBRAIN_FILE, "model.safetensors", MODEL_FILE)
_SEED = re.compile(r"\d+(-[0-9a-f]{8})?|\{fold\}|fold_\d+_.*")


def run_name(path: Union[str, Path]) -> str:
    """Name of a run or of a file with weights, for what is shared.

    Folders above it may name a user, a place or a date.

    Example
    -------
    >>> run_name("/home/anna/results/vggsound/2022/save/CKPT+1/encoder.ckpt")
    'vggsound/2022'
    >>> run_name("/home/anna/2022"), run_name("study/simclr/1-0a1b2c3d/{fold}")
    ('2022', 'simclr/1-0a1b2c3d/{fold}')
    """
    parts = [*Path(os.path.abspath(path)).parts[1:]]
    homes = [*Path.home().parts[1:]]
    if parts[: len(homes)] == homes:
        parts = parts[len(homes) :]
    elif parts[:1] in _HOMES:
        parts = parts[2:]
    if "save" in parts[1:]:  # a checkpoint, whose name is a date
        parts = parts[: parts.index("save", 1)]
    if parts[1:] and parts[-1] in _WEIGHTS:
        del parts[-1]
    first = len(parts) - 1
    while first > 0 and _SEED.fullmatch(parts[first]):
        first -= 1
    return "/".join(parts[max(first, 0) :]) or "a run"


class EncoderSource:
    """Source of the weights of an encoder.

    ``kind`` is one of

    * ``random``: the source is ``null``;
    * ``random_calibrated``: random weights, BatchNorm statistics of the
      training recordings (the recipe sets them);
    * ``folder``: a results folder, a checkpoint, or an exported model. From a
      results folder the final checkpoint is taken: the best on validation
      where the run chose by that, else the newest;
    * ``file``: weights of ours, of SpeechBrain's CNN14, or of PANNs' CNN14;
    * ``hub``: a Hugging Face id;
    * ``pretrained``: an architecture that comes with its weights, such as
      ``hear:MODULE:WEIGHTS``;
    * ``missing``: none of these.

    Arguments
    ---------
    source : str, Path or None
        Value of the option.
    option : str
        Name of the option in errors; empty where the user passed a path.
    """

    def __init__(
        self,
        source: Union[str, Path, None],
        option: str = "--encoder_source",
    ):
        # A variable of the shell that is not set is empty.
        require(
            source is None or bool(str(source).strip()),
            f"{option or 'the source of the encoder'} is empty",
            "pass null for random weights, or a run, file or hub id",
        )
        self.source = None if source in (None, "null") else str(source)
        self.option = option

    @property
    def kind(self) -> str:
        """Kind of source, from ``random`` to ``missing``; see the class."""
        if self.source is None:
            return "random"
        if self.source == CALIBRATED:
            return CALIBRATED
        if is_pretrained(self.source):
            return "pretrained"
        path = Path(self.source)
        if path.is_file():
            return "file"
        if path.is_dir():
            return "folder"
        return "hub" if is_hub_id(self.source) else "missing"

    @property
    def is_random(self) -> bool:
        """True if no weights are loaded."""
        return self.kind in ("random", CALIBRATED)

    @property
    def name(self) -> Optional[str]:
        """Name for what is shared, without the folders that it is in."""
        if self.kind in ("random", CALIBRATED, "hub"):
            return self.source
        if self.kind == "pretrained":
            name = architecture_of(self.source)
            weights = self.source[len(name) + 1 :]
            return f"{name}:{run_name(weights)}" if weights else name
        return run_name(self.source)

    def file(self) -> Path:
        """The file with the weights, downloaded where it is on the hub.

        Raises
        ------
        InputError
            It does not exist, or a folder holds no complete checkpoint.
        """
        if self.kind == "file":
            return Path(self.source)
        if self.kind == "folder":
            return self._in_folder()
        if self.kind == "hub":
            return self._on_the_hub()
        require(
            self.kind != "pretrained",
            f"{self._title(self.source)} is not a file with weights",
            "pass it to train_cls.py",
        )
        raise self._missing()

    def load(self, encoder: nn.Module, front_end: str) -> Path:
        """Load the weights into an encoder behind this front end.

        Returns
        -------
        Path
            The file they were read from; the source of a pretrained encoder,
            which is built with its weights.

        Raises
        ------
        InputError
            See ``file``; the file is damaged or would run code; a name is
            missing, unexpected or misshapen; or the weights were trained with
            another front end.
        """
        if self.kind == "pretrained":
            _check_built(encoder, self.source, front_end)
            return Path(self.source)
        path = self.file()
        self._warn_if_unfinished(path)
        self.load_file(path, encoder, front_end)
        return path

    def load_file(self, path: Path, encoder: nn.Module, front_end: str) -> None:
        """Load the weights of a file of this source, as ``load`` does."""
        title = self._title(path)
        state, known, meta = self._read(path)
        if known is not None:
            _check_front_end(known, front_end, title)
        version = _version_hint(meta)
        check_fit(
            encoder,
            state,
            title,
            lambda: fitting_option(state, encoder) + version,
        )
        if version:
            logger.warning("%s fits%s", title, version)
        encoder.load_state_dict(state, strict=True)
        if known is None:
            check_statistics(encoder, front_end, title)

    def _read(self, path: Path) -> Tuple[Dict, Optional[Known], Dict]:
        """State dict of a file, its front end, and the meta of its checkpoint."""
        # For a run: checkpointer.py, front_end.py, state_dict.py, in turn.
        meta, title = read_meta(path.parent) or {}, self._title(path)
        known = recorded_front_end(self.source, path, meta)
        if self.kind == "folder":
            file_inside(path.parent, path.name)
        state, by_names = read_weights(path, title)
        return state, by_names or known, meta

    def settings(self) -> Dict[str, Union[str, int]]:
        """Settings that the weights and the files beside them tell, by name."""
        settings: Dict[str, Union[str, int]] = {}
        if self.kind == "pretrained":
            name = architecture_of(self.source)
            return {"architecture": name, "front_end": WAVEFORM}
        path = self.file()
        state, known, _ = self._read(path)
        if known is not None and is_front_end(known.front_end):
            settings["front_end"] = known.front_end
        name = name_of_state(state)
        if name is not None and is_pretrained(name):
            settings["architecture"] = recorded_architecture(path) or name
        elif name is not None and is_configured(name):
            arguments = name, path, state, self._title(path)
            settings["architecture"] = recorded_architecture(
                path
            ) or configured_name(*arguments)
        elif name is not None:
            width = length(state, ARCHITECTURES[name].marker)
            pooling = pooling_of_state(name, state)
            settings.update(architecture=name, width=width, pooling=pooling)
        return settings

    def checksum(self) -> str:
        """Identity of the weights, wherever their file is; the kind of source
        if they are random."""
        if self.is_random:
            return self.kind
        if self.kind == "pretrained":
            encoder = make_encoder(architecture_of(self.source), 0, 0)
            return checksum_of(encoder.state_dict())
        path = self.file()
        if hub_models.is_weights(path):
            return checksum_of(self._read(path)[0])
        return checksum_of(read_state_dict(path, self._title(path)))

    def _warn_if_unfinished(self, path):
        """Say from which epoch the weights are if their run has not ended."""
        meta, last = read_meta(path.parent), newest_meta(path.parent.parent)
        if meta is None or last.get("finished", True):
            return
        n_epochs = last.get("settings", {}).get("number_of_epochs", "unknown")
        at = "after" if meta.get("end-of-epoch", True) else "in the middle of"
        logger.warning(
            "%s: its run has not finished (last saved in epoch %s of %s); the "
            "encoder is that %s epoch %s",
            self._title(path.parent),
            last.get("epoch", "unknown"),
            n_epochs,
            at,
            meta.get("epoch", "unknown"),
        )

    def _title(self, path) -> str:
        return f"{self.option} {path}".lstrip()

    def _in_folder(self) -> Path:
        folder = Path(self.source)
        for name in (ENCODER_FILE, SPEECHBRAIN_FILE):
            if (folder / name).is_file():
                return folder / name
        if hub_models.is_model(folder):
            return hub_models.weights_file(folder, self._title(folder))
        save = folder / "save" if (folder / "save").is_dir() else folder
        checkpoint = best_checkpoint(save)
        if checkpoint is not None and (checkpoint / ENCODER_FILE).is_file():
            return checkpoint / ENCODER_FILE
        for path, reason in damaged(save).items():
            raise InputError(
                f"{self._title(folder)} holds no {ENCODER_FILE} of an "
                f"undamaged checkpoint ({path.name}: {reason}); bring that "
                "file back, or pass another run"
            )
        raise InputError(
            f"{self._title(folder)} holds no {ENCODER_FILE}, in itself or in "
            "save/CKPT*/; let its run finish an epoch, or pass another folder"
        )

    def _on_the_hub(self) -> Path:
        source, title = self.source, self._title(self.source)
        public = public_encoder(source)
        names = (ENCODER_FILE, SPEECHBRAIN_FILE)
        cure = (
            f"download {SPEECHBRAIN_FILE} and {YAML_FILE} of {source} into a "
            "folder, and pass the first; or, of a model of transformers, "
            f"{hub_models.FILES}, and pass the folder"
        )
        if public is not None:
            names = (public.file,)
            cure = (
                f"download {public.file} of {source} ({public.url}), and pass "
                f"its path with --front_end {public.front_end}"
            )
        for name in names:
            path = download(source, name, title, cure)
            if path is None:
                continue
            # Either says which front end the encoder was trained with.
            for settings in () if public else (MODEL_FILE, YAML_FILE):
                download(source, settings, title, cure)
            return path
        path = None if public else hub_models.fetch(source, title, cure)
        require(
            path is not None,
            f"{title} on the Hugging Face hub holds no {' or '.join(names)}",
            "pass another id",
        )
        return path

    def _missing(self) -> InputError:
        cure = (
            "pass a results folder, a checkpoint file, a Hugging Face id, or "
            "null for a random encoder"
        )
        public = public_encoder(Path(self.source).name)
        if public is not None:
            cure = f"download {public.where()}, and pass its path"
        problem = not_a_file(self.source)
        return InputError(f"{self._title(problem)}; {cure}")


def load_companion(path: Path, name: str, module: nn.Module) -> bool:
    """Load weights saved with an encoder, such as the head's, from its folder.

    Returns whether the folder holds a file of that name.
    """
    companion = path.parent / name
    if not os.path.lexists(companion):
        return False
    check_unchanged(file_inside(path.parent, name))
    state = read_state_dict(companion)
    check_fit(
        module,
        state,
        str(companion),
        lambda: _version_hint(read_meta(path.parent) or {}),
    )
    module.load_state_dict(state, strict=True)
    return True


def _check_built(encoder: nn.Module, source: str, front_end: str) -> None:
    """Refuse another encoder or front end than a pretrained source has."""
    name, kind = name_of(encoder), kind_and_source(source)[0]
    require(
        name == kind and front_end == WAVEFORM,
        f"{source} is an encoder of samples, and this is "
        f"{name or type(encoder).__name__} behind the front end {front_end}",
        f"pass --architecture {architecture_of(source)} --front_end {WAVEFORM}",
    )


def _check_front_end(known: Known, front_end: str, title: str) -> None:
    """Refuse an encoder that was trained with another front end."""
    trained = f"{title} was trained with the front end"
    require(
        is_front_end(known.front_end),
        f"{trained} {known.front_end!r:.80} ({known.evidence}); this version "
        f"has {', '.join(FRONT_ENDS)}",
        "pass another encoder",
    )
    require(
        known.front_end == front_end,
        f"{trained} {known.front_end} ({known.evidence}), and this run has "
        f"{front_end}",
        f"pass --front_end {known.front_end}",
    )


def _version_hint(meta: Dict) -> str:
    written = meta.get("version", __version__)
    is_same = written == __version__
    other = f"; version {written} wrote it, this is {__version__}"
    return "" if is_same else other

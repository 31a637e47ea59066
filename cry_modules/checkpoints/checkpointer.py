"""Checkpoints that are complete or absent; damaged ones are skipped.

SpeechBrain's ``Checkpointer`` writes in place: a run that is killed while it
saves leaves a folder on which the next start crashes.
"""

import logging
import os
import pickle
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

import yaml
from speechbrain.utils.checkpoints import (
    METAFNAME,
    Checkpoint,
    Checkpointer,
    ckpt_recency,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process

from cry_modules import __version__
from data_prep.files.atomic import to_disk, write_error
from data_prep.files.errors import InputError

logger = logging.getLogger(__name__)

#: Folders of a checkpoint that is being written, and of one being removed.
_PARTIAL, _REMOVED = "partial", "removed"

#: Recent checkpoints kept: the last, and one in case the last is damaged.
N_RECENT = 2


class CompleteCheckpointer(Checkpointer):
    """SpeechBrain's checkpointer, safe against SIGKILL and damage.

    A checkpoint is written to a temporary folder, forced to the disk, and
    renamed when it is complete. Its ``CKPT.yaml`` holds a checksum of each
    file. Recovery skips a checkpoint with a missing, truncated or exchanged
    file, with a warning, and loads the one before it.

    Arguments
    ---------
    checkpoints_dir : str
        The ``save`` folder of a run.
    recoverables : dict
        Objects to save, by name.
    front_end : str
        Front end of the encoder. ``CKPT.yaml`` records it, for whoever loads
        the encoder elsewhere.

    Example
    -------
    >>> from torch import nn
    >>> folder = Path(getfixture("tmpdir"))
    >>> net = nn.Linear(1, 1)
    >>> checkpointer = CompleteCheckpointer(folder, {"net": net})
    >>> for epoch in (1, 2):
    ...     _ = checkpointer.save_checkpoint(meta={"epoch": epoch})
    >>> newest = checkpointer.list_checkpoints()[-1].path
    >>> _ = (newest / "net.ckpt").write_bytes(b"truncated")
    >>> damage(newest)
    'net.ckpt is not what was saved'
    >>> checkpointer.recover_if_possible().meta["epoch"]
    1
    """

    def __init__(self, *args, front_end: str = "fbank", **kwargs):
        super().__init__(*args, **kwargs)
        self._recorded = {"version": __version__, "front_end": front_end}
        self._damaged = []

    def record(self, **values) -> None:
        """Add values to ``CKPT.yaml`` of all later checkpoints."""
        self._recorded.update(values)

    def recorded(self, name: str) -> Optional[Any]:
        """Value that ``CKPT.yaml`` of the run's last checkpoint records."""
        return newest_meta(self.checkpoints_dir).get(name)

    def save_checkpoint(
        self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO
    ) -> Optional[Checkpoint]:
        """Save a checkpoint, as SpeechBrain does; every rank must call this.

        Raises
        ------
        InputError
            The disk is full. Earlier checkpoints are unchanged.
        """
        self._final = (
            super()._new_checkpoint_dirpath()
            if name is None
            else self._custom_checkpoint_dirpath(name)
        )
        partial = self.checkpoints_dir / _PARTIAL
        try:
            if if_main_process():
                shutil.rmtree(partial, ignore_errors=True)
            saved = super().save_checkpoint(
                {**(meta or {}), **self._recorded},
                end_of_epoch,
                verbosity=logging.DEBUG,
            )
            if saved is not None:
                saved = self._complete(saved)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise write_error(self.checkpoints_dir, error)
        ddp_barrier()
        if saved is not None:
            logger.log(verbosity, "Saved a checkpoint in %s", saved.path)
        return saved

    def _new_checkpoint_dirpath(self):
        """Folder that ``super().save_checkpoint`` writes to."""
        return self.checkpoints_dir / _PARTIAL

    def _complete(self, saved):
        """Add checksums, force the files to the disk, rename the folder."""
        files = sorted(p for p in saved.path.iterdir() if p.name != METAFNAME)
        meta = {**saved.meta, "files": {p.name: crc_and_size(p) for p in files}}
        metafile = saved.path / METAFNAME
        metafile.write_text("# yamllint disable\n" + yaml.dump(meta), "utf-8")
        for path in (*files, metafile, saved.path):
            to_disk(path)
        os.rename(saved.path, self._final)
        to_disk(self._final.parent)
        moved = {n: self._final / p.name for n, p in saved.paramfiles.items()}
        return Checkpoint(self._final, meta, moved)

    def save_and_keep(
        self,
        meta: Dict,
        end_of_epoch: bool = True,
        max_key: Optional[str] = None,
        min_key: Optional[str] = None,
    ) -> None:
        """Save; delete all but the two most recent checkpoints and the best.

        The best has the largest ``max_key`` or smallest ``min_key`` of the
        values ``meta``, which ``CKPT.yaml`` records.
        """
        self.save_checkpoint(meta, end_of_epoch, verbosity=logging.DEBUG)
        if if_main_process():
            # Only now that a newer one exists; else they count as recent.
            for folder in self._damaged:
                self._remove(folder)
            self._damaged = []
            keep = self.find_checkpoints(max_num_checkpoints=N_RECENT)
            if max_key or min_key:
                keep += self.find_checkpoints(
                    max_key=max_key, min_key=min_key, max_num_checkpoints=1
                )
            kept = {checkpoint.path for checkpoint in keep}
            for checkpoint in self.list_checkpoints():
                if checkpoint.path not in kept:
                    self._remove(checkpoint.path)
        ddp_barrier()

    def _remove(self, folder):
        """Remove at once: a folder that is half removed would look damaged."""
        removed = self.checkpoints_dir / _REMOVED
        shutil.rmtree(removed, ignore_errors=True)
        os.rename(folder, removed)
        shutil.rmtree(removed)

    def list_checkpoints(self) -> List[Checkpoint]:
        """Checkpoints with a readable ``CKPT.yaml``, the most advanced last."""
        checkpoints = self._construct_checkpoint_objects(
            folder
            for folder in self._list_checkpoint_dirs()
            if read_meta(folder) is not None
        )
        return sorted(checkpoints, key=lambda c: progress(c.meta))

    def find_checkpoints(
        self,
        importance_key=None,
        max_key=None,
        min_key=None,
        ckpt_predicate=None,
        max_num_checkpoints=None,
    ) -> List[Checkpoint]:
        """Checkpoints by a key, best first; among equals and without a key the
        most advanced first, where SpeechBrain goes by the clock."""
        found = list(filter(ckpt_predicate, self.list_checkpoints()))[::-1]
        name, sign = (max_key, 1) if max_key else (min_key, -1)
        if importance_key not in (None, ckpt_recency):
            found.sort(key=importance_key, reverse=True)
        elif name:
            found = [c for c in found if name in c.meta]
            found.sort(key=lambda c: sign * c.meta[name], reverse=True)
        return found[:max_num_checkpoints]

    def recover_if_possible(
        self,
        importance_key=None,
        max_key=None,
        min_key=None,
        ckpt_predicate=None,
    ) -> Optional[Checkpoint]:
        """Load the best checkpoint by a key, or the newest undamaged one.

        Raises
        ------
        InputError
            The best is damaged, or the checkpoint does not fit the modules.
        """
        candidates = self.find_checkpoints(
            importance_key, max_key, min_key, ckpt_predicate
        )
        self._damaged = self._unreadable()
        for checkpoint in candidates:
            reason = damage(checkpoint.path)
            if reason is None:
                self._load(checkpoint)
                return checkpoint
            if max_key or min_key:
                raise InputError(
                    f"{checkpoint.path} is damaged ({reason}) and was the best "
                    "checkpoint; another one is another model: train again in "
                    "another --output_folder"
                )
            logger.warning("%s is damaged: %s", checkpoint.path, reason)
            self._damaged.append(checkpoint.path)
        if self._damaged:
            logger.warning("No checkpoint is undamaged; the run starts again")
        return None

    def _unreadable(self):
        """Folders without a readable ``CKPT.yaml``."""
        folders = sorted(self.checkpoints_dir.glob("CKPT*"))
        unreadable = [f for f in folders if read_meta(f) is None]
        for folder in unreadable:
            logger.warning(
                "%s is damaged: %s cannot be read", folder, METAFNAME
            )
        return unreadable

    def _load(self, checkpoint):
        # SpeechBrain leaves it to torch's default to load only tensors, and
        # this variable changes that.
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
        try:
            self.load_checkpoint(checkpoint)
        except (
            RuntimeError,
            LookupError,
            ValueError,
            TypeError,  # another shape, as the next two
            AttributeError,
            yaml.YAMLError,
            EOFError,  # truncated, as the next two
            OSError,
            struct.error,
            pickle.UnpicklingError,  # would run code
        ) as error:
            if isinstance(error, InputError):
                raise
            written = checkpoint.meta.get("version", "unknown")
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{checkpoint.path} (written by version {written}, this is "
                f"{__version__}) does not fit this experiment: {reason}; pass "
                "another --output_folder"
            )


def read_meta(folder: Path) -> Optional[Dict]:
    """Values that ``CKPT.yaml`` records; None if it cannot be read."""
    path = folder / METAFNAME
    if not path.is_file():  # a pipe would block
        return None
    try:
        meta = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception:  # yaml raises any, by what the text looks like
        return None
    return meta if isinstance(meta, dict) and _is_sound(meta) else None


def progress(meta: Dict) -> Tuple:
    """Sort key of checkpoints: how far their run was.

    By step and epoch, since a clock can be set back. The time counts only
    between checkpoints that record neither, which this project does not write.
    """
    is_end = bool(meta.get("end-of-epoch", True))
    step, epoch = meta.get("step", 0), meta.get("epoch", 0)
    return step, epoch, is_end, meta["unixtime"]


def _is_sound(meta) -> bool:
    """Check the types of the entries that are used."""
    numbers = meta.get("unixtime"), meta.get("score", 0.0)
    numbers += meta.get("step", 0), meta.get("epoch", 0)
    texts = meta.get("version", ""), meta.get("front_end", "")
    texts += (meta.get("encoder", ""),)
    files = meta.get("files", {})
    maps = meta.get("settings", {}), meta.get("data", {})
    return (
        all(isinstance(m, dict) and _is_text(*m, *m.values()) for m in maps)
        and all(type(value) in (int, float) for value in numbers)
        and _is_text(*texts)
        and isinstance(files, dict)
        and all(map(_is_name, files))
    )


def _is_text(*values) -> bool:
    """Check that all are texts of one line."""
    return all(isinstance(t, str) and t.isprintable() for t in values)


def _is_name(name) -> bool:
    """Check that a text is the name of a file, not a path to elsewhere."""
    if not isinstance(name, str) or name in ("", ".", ".."):
        return False
    return name.isprintable() and not set(name) & set("/\\")


def damage(folder: Path) -> Optional[str]:
    """Reason why a checkpoint is damaged; None if it is not."""
    meta = read_meta(folder)
    if meta is None:
        return f"{METAFNAME} cannot be read"
    for name, expected in meta.get("files", {}).items():
        path = folder / name
        if path.is_symlink():  # it may lead out of the folder
            return f"{name} is a link"
        if not path.is_file():
            return f"{name} is missing"
        try:
            current = crc_and_size(path)
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if current != expected:
            return f"{name} is not what was saved"
    return None


def best_checkpoint(folder: Path) -> Optional[Path]:
    """The undamaged checkpoint with the best validation score, else the most
    advanced; none of the middle of an epoch."""

    def rank(path):
        return metas[path].get("score", float("-inf")), progress(metas[path])

    metas = {
        path: meta
        for path, meta in _metas(folder).items()
        if meta.get("end-of-epoch", True)
    }
    return whole(sorted(metas, key=rank, reverse=True))


def damaged(folder: Path) -> Dict[Path, str]:
    """Damaged checkpoints in a folder, and what is wrong with each."""
    reasons = {path: damage(path) for path in sorted(folder.glob("CKPT*"))}
    return {path: reason for path, reason in reasons.items() if reason}


def newest_meta(folder: Path) -> Dict:
    """Meta of the most advanced checkpoint of a run, empty without one."""
    return max(_metas(folder).values(), key=progress, default={})


def _metas(folder: Path) -> Dict[Path, Dict]:
    """Meta of each readable checkpoint in a folder."""
    metas = {path: read_meta(path) for path in folder.glob("CKPT*")}
    return {path: meta for path, meta in metas.items() if meta is not None}


def whole(folders: Iterable[Path]) -> Optional[Path]:
    """Return the first undamaged checkpoint; warn of damaged ones before it."""
    for folder in folders:
        reason = damage(folder)
        if reason is None:
            return folder
        logger.warning("%s is damaged: %s", folder, reason)
    return None


def crc_and_size(path: Path) -> str:
    """CRC and size of a file."""
    value = 0
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 22), b""):
            value = zlib.crc32(block, value)
    return f"{value:08x} {path.stat().st_size}"

"""The runs of a study: the command of each, its folder and its parents.

A run's folder ends in a digest of everything that decides its result: its
command, the tables it reads, and the folders of its parents. A changed setting
gives another folder, so that exactly the runs that depend on it run again and
the old results stay; changed back, nothing runs.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

from data_prep.files.fingerprint import sha256
from data_prep.files.tables import NAMED_BY
from recipes.study.classifications import classifications
from recipes.study.data import check_data, checksum, folds_of, identity_of
from recipes.study.encoders import ENCODERS, folder_name, pretraining_of
from recipes.study.settings import Settings, Task, seeds_of
from recipes.study.stages import PROBES, hparams_of

#: Embeddings that classifiers on the same encoder share while a study runs.
SHARED = "embedding_cache"
#: Placeholder of the study's folder, which does not change a result.
_STUDY = "STUDY"
#: Script, rule and result of the stages that train encoders.
_TRAINING = {
    "simclr": ("train_simclr.py", "train_simclr", "done"),
    "supervised": ("train_cls.py", "train_supervised", "metrics.json"),
    "adapt": ("train_adapt.py", "train_adapt", "done"),
    "adapt_replay": ("train_adapt.py", "train_adapt", "done"),
}


@dataclass(frozen=True)
class Run:
    """A command of the study and its output."""

    name: str
    rule: str  # of the Snakefile
    command: Tuple[str, ...]  # arguments of `python`
    folder: Path
    result: Path  # exists once the run is done
    parents: Tuple[str, ...]  # names of the runs that must be done before
    #: encoder, task, mode, fraction, seed and fold, as far as they apply.
    facts: Dict[str, Any]

    @property
    def done(self) -> bool:
        """True if the result exists."""
        return self.result.is_file()


def digest(*parts) -> str:
    """Digest of everything that decides a result, eight letters."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Plan:
    """All runs of a study, parents before children."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.runs: Dict[str, Run] = {}
        self.folds: List[str] = []
        self._corpus = self._plan_corpus()
        self._generic = self._identity_of_generic()
        self._tables = self._plan_tables()
        for seed in settings.pretraining_seeds:
            self._plan_pretraining(seed)
        for task, encoder, mode, fraction in classifications(settings):
            for seeds in seeds_of(settings):
                self._plan_classifier(task, encoder, mode, fraction, *seeds)
        if settings.confounds:
            for task in settings.tasks:
                self._plan_confounds(task)
        for encoder in settings.encoders:
            for seeds in self._embedded_seeds(encoder):
                self._plan_embeddings(encoder, *seeds)

    def __getitem__(self, name: str) -> Run:
        return self.runs[name]

    def of_rule(self, rule: str) -> List[Run]:
        """Runs of a rule of the Snakefile."""
        return [run for run in self.runs.values() if run.rule == rule]

    def classifier(self, *facts) -> Run:
        """The run with this task, encoder, mode, fraction and seed."""
        return self.runs[_classifier_name(*facts)]

    def classifiers(self, task, encoder, mode, fraction=1.0) -> List[Run]:
        """Runs of all seeds; none if the study leaves out that mode."""
        names = [
            _classifier_name(task, encoder, mode, fraction, seed)
            for seed in self.settings.seeds
        ]
        return [self.runs[name] for name in names if name in self.runs]

    def encoder(self, encoder: str, seed: int, fold: str = "") -> Run:
        """The run that trains an encoder."""
        return self.runs[_encoder_name(encoder, seed, fold)]

    @property
    def digest(self) -> str:
        """Digest of all runs."""
        folders = [run.folder for run in self.runs.values()]
        return digest(self.settings.title, *folders)

    def _add(self, name, rule, command, folder, result, parents, **facts):
        command = tuple(str(part) for part in command)
        self.runs[name] = Run(
            name, rule, command, folder, folder / result, tuple(parents), facts
        )

    def _folder(self, kind, name, identity) -> Path:
        """Folder of a run: its name and the digest of what it depends on."""
        out = self.settings.output_folder
        parts = [str(part).replace(str(out), _STUDY) for part in identity]
        if self.settings.synthetic is None:
            parts = [self._without_place(part) for part in parts]
        return out / kind / f"{name}-{digest(*parts)}"

    def _without_place(self, part: str) -> str:
        """An argument without the place of data, which may be moved: the
        content of their tables is part of what a run depends on."""
        s = self.settings
        places = {
            "CRIES": s.cries,
            "GENERIC": s.generic,
            "OTHERS": s.unlabelled,
        }
        places.update(TABLE=s.recordings_csv, MORE=s.unlabelled_csv)
        option, sign, value = part.rpartition("=")
        names = (name for name in places if value == str(places[name]))
        return option + sign + next(names, value)

    def _plan_corpus(self) -> Tuple[str, ...]:
        """Make and audit the synthetic corpus, if the study has one."""
        corpus = self.settings.synthetic
        if corpus is None:
            return ()
        folder = self.settings.cries.parent
        command = ("-m", "data_prep.synthetic", folder)
        command += (f"--scale={corpus['scale']}", f"--seed={corpus['seed']}")
        self._add("corpus", "corpus", command, folder, "done", ())
        for part in (self.settings.generic, self.settings.cries):
            # Other runs use this audit instead of decoding the files again.
            command = ("-m", "data_prep.audit", part, f"--out={part}")
            self._add(
                f"audit/{part.name}", "audit", command, part, "audited",
                ["corpus"],
            )  # fmt: skip
        return ("corpus", *(run.name for run in self.of_rule("audit")))

    def _data(self, *tables) -> List[str]:
        """Identity of the data that a run reads."""
        if self.settings.synthetic is not None:
            return [str(self.settings.cries.parent)]
        return [checksum(table) for table in tables if table is not None]

    def _identity_of_generic(self) -> List[str]:
        if self.settings.synthetic is not None:
            return [str(self.settings.generic)]
        return identity_of("generic", self.settings.generic)

    def _plan_tables(self) -> Path:
        s = self.settings
        labels = [task.label_column for task in s.tasks]
        command = ["-m", "recipes.study.cry_tables", s.cries, s.recordings_csv]
        command += [f"--labels={','.join(labels)}"]
        if s.unlabelled_csv is not None and s.unlabelled is None:
            command.append(f"--more={s.unlabelled_csv}")
        if s.folds:
            self.folds = folds_of(s)
            made = [f"--make_folds={s.folds}"]
            given = ["--folds", *self.folds]
            command += made if type(s.folds) is int else given
            if isinstance(s.folds, str):
                command.append(f"--fold_column={s.folds}")
        command += self._columns()
        if s.synthetic is None:
            check_data(s)
        data = self._data(s.recordings_csv, s.unlabelled_csv)
        if s.unlabelled is not None and s.unlabelled_csv is None:
            data += identity_of("unlabelled", s.unlabelled)
        folder = self._folder("tables", "cries", [*command, *data])
        command.append(f"--out={folder}")
        last = f"held_out_{self.folds[-1]}.csv" if s.folds else "held_out.csv"
        self._add("tables", "tables", command, folder, last, self._corpus)
        return folder

    def _columns(self) -> List[str]:
        """Options that name the columns of the user's tables; those of
        ``cry_tables`` have our names."""
        return [
            f"{NAMED_BY[ours]}={theirs}"
            for ours, theirs in self.settings.named.items()
            if theirs != ours
        ]

    def _plan_pretraining(self, seed: int) -> None:
        generic = [f"--data_folder={self.settings.generic}"]
        for encoder in self.settings.encoders:
            row = ENCODERS[encoder]
            if row.stage and not row.cries:
                self._plan_encoder(encoder, seed, generic, self._corpus)
        for encoder in self.settings.encoders:
            if ENCODERS[encoder].cries:
                for fold in self.adapted_folds(encoder) or [""]:
                    self._plan_adaptation(encoder, seed, fold)

    def adapted_folds(self, encoder: str) -> List[str]:
        """Folds with an adaptation of their own: none if one serves all."""
        return [] if self._hears_others(encoder) else self.folds

    def cry_folder(self, encoder: str) -> Path:
        """Folder of the cries that an encoder is adapted to."""
        s = self.settings
        return s.unlabelled if self._hears_others(encoder) else s.cries

    def _hears_others(self, encoder: str) -> bool:
        """True if no adaptation of this encoder hears an infant with a label."""
        given = self.settings.unlabelled is not None
        return given and ENCODERS[encoder].cries == "all"

    def _plan_adaptation(self, encoder: str, seed: int, fold: str) -> None:
        s, suffix = self.settings, f"_{fold}" if fold else ""
        pretrained = self.encoder(pretraining_of(encoder), seed)
        cries = f"{ENCODERS[encoder].cries}{suffix}.csv"
        options = [
            f"--cry_folder={s.cries}",
            f"--recordings_csv={self._tables}/{cries}",
            f"--exclude={self._tables}/held_out{suffix}.csv",
        ]
        if self._hears_others(encoder):
            table = [f"--recordings_csv={s.unlabelled_csv}", *self._columns()]
            options = [
                f"--cry_folder={s.unlabelled}",
                *(table if s.unlabelled_csv is not None else []),
                f"--exclude={self._tables}/recordings.csv",
                f"--exclude_folder={s.cries}",
            ]
        options += [
            "--excluded=drop",
            f"--replay_folder={s.generic}",
            f"--encoder_source={pretrained.folder}",
        ]
        parents = ["tables", pretrained.name]
        self._plan_encoder(encoder, seed, options, parents, fold)

    def _plan_encoder(self, encoder, seed, options, parents, fold="") -> None:
        row = ENCODERS[encoder]
        script, rule, result = _TRAINING[row.stage]
        stage = self.settings.stage_of(encoder)
        file = self.settings.stages[stage]["yaml"]
        command = self._command(script, stage, file, seed)
        command += [*options, *row.options]
        # One folder for all folds, so that one option names them all.
        suffix = f"_{fold}.csv"
        same = [o.replace(suffix, ".csv") if fold else o for o in command]
        identity = [*same, *self._generic]
        folder = self._folder("encoders", f"{encoder}/{seed}", identity)
        folder = folder / fold if fold else folder
        command.append(f"--output_folder={folder}")
        self._add(
            _encoder_name(encoder, seed, fold), rule, command, folder, result,
            parents, encoder=encoder, seed=seed, fold=fold, stage=stage,
        )  # fmt: skip

    def _command(self, script, stage, hparams, seed) -> List[str]:
        options = {**self.settings.stages[stage]}
        options.pop("yaml", None)
        return [
            script,
            f"hparams/{hparams}.yaml",
            f"--seed={seed}",
            f"--width={self.settings.width}",
            *(f"--{k}={_as_option(v)}" for k, v in sorted(options.items())),
        ]

    def _source(self, encoder: str, seed: int) -> Tuple[str, List[str]]:
        """Value of ``encoder_source``, and the runs that train it."""
        row = ENCODERS[encoder]
        if row.stage is None:
            return row.source, []
        folds = self.adapted_folds(encoder)
        if row.cries and folds:
            runs = [self.encoder(encoder, seed, fold) for fold in folds]
            source = f"{runs[0].folder.parent}/{{fold}}"
            return source, [run.name for run in runs]
        run = self.encoder(encoder, seed)
        return str(run.folder), [run.name]

    def _plan_classifier(
        self, task, encoder, mode, fraction, seed, encoder_seed
    ):
        s = self.settings
        source, parents = self._source(encoder, encoder_seed)
        hparams = hparams_of(task.hparams, mode)
        command = self._command("train_cls.py", mode, hparams, seed)
        command += [
            f"--data_folder={s.cries}",
            f"--recordings_csv={self._tables}/recordings.csv",
            f"--label_column={task.label_column}",
            f"--classes={json.dumps(task.classes)}",
            "--other_labels=drop",
            f"--label_fraction={fraction}",
            f"--encoder_source={source}",
            "--figures=False",
        ]
        # Both are the same for all classifiers on an encoder.
        probed = mode in PROBES and fraction == 1.0
        nuisance = s.nuisance if probed and s.nuisance else "null"
        controls = (mode, encoder) == ("linear", "simclr") and (
            fraction in (1.0, *s.compared_at)
        )
        command.append(f"--nuisance={nuisance}")
        command.append(f"--controls={controls}")
        if s.folds:
            of = s.folds if isinstance(s.folds, str) else "all"
            command.append(f"--folds={of}")
        name = _classifier_name(task.name, encoder, mode, fraction, seed)
        place = name.replace(encoder, folder_name(encoder))
        if ENCODERS[encoder].outside:  # it knows its size
            command.remove(f"--width={s.width}")
        identity = [*command, *_weights_of(encoder)]
        folder = self._folder("classifiers", place, identity)
        if mode in PROBES:
            command.append(f"--embedding_cache={s.output_folder}/{SHARED}")
        command.append(f"--output_folder={folder}")
        self._add(
            name, "train_cls", command, folder, "metrics.json",
            ["tables", *parents], task=task.name, encoder=encoder, mode=mode,
            fraction=fraction, seed=seed,
        )  # fmt: skip

    def _plan_confounds(self, task: Task) -> None:
        s = self.settings
        table = f"{self._tables}/recordings.csv"
        command = ["-m", "data_prep.confounds", table]
        command += [f"--data_folder={s.cries}"]
        command += [f"--label_column={task.label_column}", "--classes"]
        command += task.classes
        folder = self._folder("confounds", task.name, command)
        command.append(f"--out={folder}")
        self._add(
            f"confounds/{task.name}", "confounds", command, folder,
            "confounds.json", ["tables"], task=task.name,
        )  # fmt: skip

    def _embedded_seeds(self, encoder: str) -> List[Tuple[int, int]]:
        """Seeds whose generic sounds are embedded: those of pre-training."""
        n = len(self.settings.pretraining_seeds)
        return seeds_of(self.settings)[: 1 if ENCODERS[encoder].outside else n]

    def embeddings(self, encoder: str) -> List[Run]:
        """Runs that embed, the first of which embeds cries, too."""
        seeds = self._embedded_seeds(encoder)
        names = [f"embeddings/{encoder}/{seed}" for seed, _ in seeds]
        return [self.runs[name] for name in names if name in self.runs]

    def _plan_embeddings(
        self, encoder: str, seed: int, encoder_seed: int
    ) -> None:
        """Embed generic sounds, and cries by the first seed, for the report."""
        task = self.settings.tasks[0]
        classifier = self.classifier(task.name, encoder, "linear", 1.0, seed)
        generic = self.encoder("simclr", encoder_seed)
        command = ["-m", "recipes.study.embed", classifier.folder]
        if ENCODERS[encoder].mapped and seed == self.settings.seeds[0]:
            command += [f"--cries={self.settings.cries}"]
        command += [f"--sounds={generic.folder}/manifest/valid.csv"]
        command += [f"--sound_folder={self.settings.generic}"]
        if encoder.startswith("hear:"):
            command.append(f"--encoder_source={encoder}")
        place = f"{folder_name(encoder)}/{seed}"
        folder = self._folder("embeddings", place, command)
        command.append(f"--out={folder}/embeddings.npz")
        self._add(
            f"embeddings/{encoder}/{seed}", "embed", command, folder,
            "embeddings.npz", [classifier.name, generic.name],
            encoder=encoder, seed=seed,
        )  # fmt: skip


def _encoder_name(encoder, seed, fold="") -> str:
    return f"encoders/{encoder}/{seed}" + (f"/{fold}" if fold else "")


def _classifier_name(task, encoder, mode, fraction, seed) -> str:
    return f"{task}/{mode}/{encoder}/{100 * fraction:g}%/{seed}"


def _weights_of(encoder: str) -> List[str]:
    """Checksum of the weights that a HEAR module is given, if any."""
    weights = Path(encoder.partition(":")[2].partition(":")[2]).expanduser()
    given = encoder.startswith("hear:") and weights.is_file()
    return [sha256(weights)] if given else []


def _as_option(value) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value)

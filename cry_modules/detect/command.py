"""Model, rules and starts that a command line of detection asks for, checked."""

import argparse
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from cry_modules.detect.clock import Clock, Starts, zone
from cry_modules.detect.events import Rule, low_of
from cry_modules.detect.scoring import Scorer, fingerprint
from cry_modules.detect.threshold import (
    SETTINGS,
    number_or_file,
    threshold_of_model,
)
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.command import list_recordings
from cry_modules.inference.folded import fold_batch_norm
from data_prep.annotations.formats import require_format
from data_prep.files.arguments import nearest, texts
from data_prep.files.atomic import make_folder, require_writable
from data_prep.files.errors import not_a_file, require
from data_prep.files.folders import require_other


class Plan(NamedTuple):
    """Checked options."""

    scorer: Scorer
    labels: List[str]
    rules: Dict[str, Rule]  #: by label
    origin: str  #: of the thresholds, in words
    starts: Starts
    formats: List[str]


def check_usage(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, before the model is loaded."""
    has_target = args.target_false_alarms_per_hour is not None
    require(
        has_target == (args.annotations is not None),
        "--target_false_alarms_per_hour and --annotations need each other",
        "pass both, or neither",
    )
    require(
        not (has_target and (args.threshold or args.low_threshold is not None)),
        "a threshold is passed and is to be chosen too",
        "leave out --threshold and --low_threshold, or "
        "--target_false_alarms_per_hour",
    )
    require(
        args.annotated_label is None or has_target,
        f"--annotated_label {args.annotated_label} applies to --annotations",
        "pass them too, or leave it out",
    )
    for option in ("annotations", "starts"):
        value = getattr(args, option)
        require(
            value is None or Path(value).exists(),
            f"--{option}: {not_a_file(str(value))}",
            "correct it",
        )
    require(
        args.recorder_time_zone is None or args.time_zone is not None,
        f"--recorder_time_zone {args.recorder_time_zone} is that of the "
        "recorder alone",
        "pass --time_zone too, that of the times to write",
    )
    if args.annotations is not None:
        require_other(args.out, "--annotations", args.annotations)
    out = Path(args.out)
    if out.exists():
        require_writable(make_folder(out) / "a.csv")


def load(args: argparse.Namespace) -> CryClassifier:
    """Load the model."""
    run_opts = {"device": args.device, "precision": args.precision}
    classifier = CryClassifier.from_hparams(
        args.model, trust=args.trust, run_opts=run_opts
    )
    classifier.require_classes()
    return classifier


def plan(
    args: argparse.Namespace,
    load: Callable[[argparse.Namespace], CryClassifier] = load,
) -> Plan:
    """Load the model and check the options that depend on it."""
    formats = texts([args.formats]) if args.formats else []
    for name in formats:
        require_format(name, "--formats")
    shown = zone(args.time_zone, "--time_zone")
    recorder = zone(args.recorder_time_zone, "--recorder_time_zone") or shown
    recordings = list_recordings(args.audio)
    starts = Starts(Clock(recorder, shown), args.starts, recordings)
    given, saved = None, None
    if args.threshold is not None:
        given, saved = number_or_file(args.threshold)
    classifier = load(args)
    labels = _labels(args, classifier.hparams.classes, saved)
    if saved is not None:
        _take_settings(args, saved, classifier)
    window_s = args.window_s
    if window_s is None:
        window_s = classifier.hparams.chunk_s
    hop_s = window_s if args.hop_s is None else args.hop_s
    classifier.window_sizes(window_s, hop_s)  # refuses bad ones
    require(
        hop_s <= window_s,
        f"--hop_s is {hop_s:g} and a window has {window_s:g} s, so that what "
        "lies between two windows would not be scored",
        f"pass {window_s:g} or less",
    )
    edge_s = args.edge_s
    if edge_s is None:
        edge_s = min(window_s / 8, hop_s)
    require(
        edge_s <= hop_s,
        f"--edge_s is {edge_s:g} and --hop_s {hop_s:g}",
        f"pass {hop_s:g} or less",
    )
    folder = Path(args.out) / "scores"
    scorer = Scorer(classifier, window_s, hop_s, edge_s, args.channels, folder)
    if classifier.precision == "fp32":  # others round what is folded
        fold_batch_norm(classifier.mods)
    rules, origin = _rules(args, scorer, labels, given, saved)
    return Plan(scorer, labels, rules, origin, starts, formats)


def _labels(args, classes: List[str], saved: Optional[Dict]) -> List[str]:
    """Classes whose events are found."""
    labels = texts([args.detected]) if args.detected else [classes[-1]]
    if args.detected is None and saved is not None:
        labels = [saved["label"]]
    for label in labels:
        require(
            label in classes,
            f"--detected is {label}, which the model does not have"
            f"{nearest(label, classes)}",
            f"its classes are {', '.join(classes)}",
        )
    require(
        len(set(labels)) == len(labels),
        f"--detected names {', '.join(labels)}",
        "name each once",
    )
    alone = saved is not None or args.annotations is not None
    require(
        len(labels) == 1 or not alone,
        f"--detected names {', '.join(labels)}, a threshold is of one class",
        "pass one class",
    )
    require(
        saved is None or saved["label"] == labels[0],
        f"{args.threshold} is a threshold of {saved and saved['label']}, not "
        f"of {labels[0]}",
        "choose another, or pass --detected",
    )
    return labels


def _take_settings(args, saved: Dict, classifier: CryClassifier) -> None:
    """Take the settings that a threshold was chosen with."""
    require(
        saved["model"] == fingerprint(classifier),
        f"{args.threshold} was chosen with another model, or with another "
        "--precision",
        "choose one with this model, by --target_false_alarms_per_hour",
    )
    for name in (*SETTINGS, "channels"):
        value = getattr(args, name)
        is_default = value is None or (name == "channels" and value == "mix")
        require(
            is_default or value == saved[name],
            f"--{name} is {value}, and {args.threshold} was chosen with "
            f"{saved[name]}",
            "leave one of them out",
        )
        setattr(args, name, saved[name])


def _rules(
    args, scorer: Scorer, labels, given: Optional[float], saved: Optional[Dict]
) -> Tuple[Dict[str, Rule], str]:
    hparams = scorer.classifier.hparams
    bridge_s = scorer.edge_s if args.bridge_s is None else float(args.bridge_s)
    times = float(args.least_s or 0), bridge_s
    rules, origin = {}, "as passed"
    for label in labels:
        high, low = given, args.low_threshold
        if saved is not None:
            high, origin = saved["threshold"], f"of {args.threshold}"
            low = saved["low_threshold"] if low is None else low
        elif high is None:
            high, origin = threshold_of_model(
                hparams.threshold, hparams.classes, label
            )
        require(
            low is None or low <= high,
            f"--low_threshold is {low} and --threshold is {high:.3g}",
            "pass a lower one",
        )
        low = low_of(high) if low is None else float(low)
        rules[label] = Rule(float(high), low, *times)
    return rules, origin

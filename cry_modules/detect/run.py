"""Detection of events in recordings as a command line says, into a folder."""

import sys
from pathlib import Path
from typing import Callable, Dict

from tqdm import tqdm

from cry_modules.detect.annotated import annotated_recordings, score_annotated
from cry_modules.detect.command import Plan, check_usage, load, plan
from cry_modules.detect.results import Results
from cry_modules.detect.tables import require_own_tables
from cry_modules.detect.threshold import (
    FLOORS,
    THRESHOLD_FILE,
    chosen,
    in_words,
    save,
)
from cry_modules.inference.command import list_recordings
from cry_modules.inference.options import CAUTION
from cry_modules.inference.scores import file_names
from data_prep.files.arguments import texts
from data_prep.files.lock import locked


def detect(args, load: Callable = load) -> int:
    """Detect events with the model that `load` returns for the arguments;
    return the number of recordings that failed."""
    check_usage(args)
    names = file_names(list_recordings(args.audio))
    options = plan(args, load)
    print(CAUTION, file=sys.stderr)
    with locked(Path(args.out)):
        require_own_tables(Path(args.out))
        options = _with_chosen_threshold(options, names, args)
        _say_rules(options)
        results = Results(options, Path(args.out), not args.no_pictures)
        bar = tqdm(
            names.items(), desc="detecting", unit="file", dynamic_ncols=True
        )
        for path, name in bar:
            results.add(path, name)
        results.write()
    print(results.summary_line())
    return len(results.failures)


def _with_chosen_threshold(options: Plan, names: Dict[str, str], args) -> Plan:
    """Choose the threshold on annotated recordings, if it is to be chosen."""
    target = args.target_false_alarms_per_hour
    if target is None:
        return options
    ((label, rule),) = options.rules.items()
    wanted = texts([args.annotated_label]) if args.annotated_label else [label]
    annotated = annotated_recordings(names, args.annotations, wanted)
    scorer = options.scorer
    for floor in FLOORS:
        scored = score_annotated(scorer, names, annotated, label, floor)
        facts = chosen(scored, rule, target, floor=floor)
        if facts is not None:
            break
    path = Path(args.out) / THRESHOLD_FILE
    settings = {
        "label": label,
        "model": scorer.model,
        "channels": scorer.channels,
        "window_s": scorer.window_s,
        "hop_s": scorer.hop_s,
        "edge_s": scorer.edge_s,
        "least_s": rule.least_s,
        "bridge_s": rule.bridge_s,
    }
    save({**settings, **facts}, path)
    print(f"{in_words(facts)}; saved in {path}", file=sys.stderr)
    high, low = facts["threshold"], facts["low_threshold"]
    rules = {label: rule._replace(high=high, low=low)}
    return options._replace(rules=rules, origin=f"of {path}")


def _say_rules(options: Plan) -> None:
    """Print what an event is, and how exact its edges are."""
    scorer = options.scorer
    window_s, edge_s = scorer.window_s, scorer.edge_s
    for label, rule in options.rules.items():
        print(
            f"{label}: an event opens at {rule.high:.3g} and lasts while "
            f"scores are {rule.low:.3g} or more ({options.origin}); gaps up to "
            f"{rule.bridge_s:g} s are bridged"
            + f", events under {rule.least_s:g} s dropped"
            * (rule.least_s > 0),
            file=sys.stderr,
        )
    print(
        f"windows of {window_s:g} s every {scorer.step * edge_s:g} s"
        + f", every {edge_s:g} s around those that reach the lower score"
        * (scorer.step > 1)
        + f": onset and offset lie on a grid of {edge_s:g} s, and each may be "
        f"off by {(window_s + edge_s) / 2:g} s",
        file=sys.stderr,
    )

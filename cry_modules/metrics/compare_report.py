"""Comparison of runs in words: Markdown tables, and a sentence for a paper."""

from typing import Dict, Iterable, List, Optional

from cry_modules.metrics.compare import ONE_SEED
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.paired import ALPHA, LEAST_SEEDS
from cry_modules.metrics.variance import variance_sentence
from cry_modules.metrics.words import (
    folds_in_words,
    interval_in_words,
    markdown_table,
    p_in_words,
    units_in_words,
)


def report(result: Dict) -> str:
    """Result of ``compare`` as Markdown: tables and sentences."""
    metric, unit = METRICS[result["metric"]], result["unit"]
    parts = [
        units_in_words(unit, result["n"], result["n_patients"]),
        folds_in_words(result),
        f"{result['n_draws']} draws of patients",
    ]
    lines = [f"{metric.label} by {unit}: {', '.join(filter(None, parts))}", ""]
    lines += _table(
        {
            "set": entry["name"],
            "seeds": len(entry["by_seed"]),
            metric.words: _number(entry["mean"]),
            "sd between seeds": _number(entry["sd_between_seeds"]),
            "95 % interval over patients": _range(entry["ci95"]),
            "of a run with another seed": _range(entry["ci95_new_seed"])
            if entry["n_encoders"] >= LEAST_SEEDS
            else f"needs {LEAST_SEEDS} seeds",
        }
        for entry in result["sets"]
    )
    spreads = filter(None, map(variance_sentence, result["sets"]))
    lines += [line for text in spreads for line in ("", text)]
    shared = filter(None, map(heads_sentence, result["sets"]))
    lines += [line for text in shared for line in ("", text)]
    if result["no_interval"]:
        lines += ["", f"No intervals: {result['no_interval']}."]
    if result["differences"]:
        several = len(result["differences"]) > 1
        rows = (
            _difference_cells(d, metric, several) for d in result["differences"]
        )
        lines += ["", *_table(rows), ""]
        lines += [sentence(d, result) for d in result["differences"]]
    if len(result["differences"]) > 1:
        lines.append(
            f"The p of these {len(result['differences'])} comparisons are not "
            "corrected for their number; those of Holm are."
        )
    return "\n".join(lines)


def heads_sentence(entry: Dict) -> Optional[str]:
    """Say where the runs of a set of ``compare`` share encoders: their seeds
    are not those of pre-training. None where each has its own.

    Example
    -------
    >>> heads_sentence({"name": "a", "by_seed": [0.7] * 4, "n_encoders": 1})
    'a: its 4 runs have one pre-trained encoder, so that their seeds are those of the head, not of pre-training; there is no p about methods.'
    """
    n_runs, n = len(entry["by_seed"]), entry["n_encoders"]
    if n == n_runs:
        return None
    runs = f"{entry['name']}: its {n_runs} runs have"
    if n > 1:
        return (
            f"{runs} {n} pre-trained encoders; heads on one encoder are "
            "averaged, and count as one pre-training seed."
        )
    return (
        f"{runs} one pre-trained encoder, so that their seeds are those of the "
        "head, not of pre-training; there is no p about methods."
    )


def _table(rows: Iterable[Dict]) -> List[str]:
    rows = list(rows)
    return markdown_table(list(rows[0]), [row.values() for row in rows])


def _difference_cells(d, metric, several) -> Dict[str, str]:
    how = "paired by seed" if d["paired_by_seed"] else "not paired by seed"
    spread, p = d["sd_between_seeds"], {"p": _p(d["p"])}
    if several:
        p["p, Holm"] = _p(d["p_holm"])
    return {
        "difference": f"{d['b']} - {d['a']}",
        metric.words: _number(d["difference"], "+.3f"),
        "95 % interval over paired patients": _range(d["ci95"]),
        **p,
        "found with 80 % power": _number(d["detectable"]),
        "of the methods": _methods_in_words(d, several),
        "sd between seeds": "none"
        if spread is None
        else f"{_number(spread)} ({how})",
        "seeds above": f"{d['n_above']} of {len(d['by_seed'])}",
    }


def _p(p) -> str:
    return "none" if p is None else p_in_words(p).replace("p = ", "")


def _methods_in_words(d, several) -> str:
    methods = d["methods"]
    if methods["p"] is None:
        return "undecided" if methods["no_interval"] == ONE_SEED else "none"
    text = f"{_range(methods['ci95'])}, {p_in_words(methods['p'])}"
    text += f" (Holm: {_p(d['methods_p_holm'])})" * several
    return f"{text}; 80 % power at {_number(methods['detectable'])}"


def sentence(difference: Dict, result: Dict) -> str:
    """Difference between two sets as a sentence for a paper: between the
    methods where both have several pre-training seeds, else between these
    models."""
    methods = difference["methods"]
    d = {**difference, **methods} if methods["p"] else difference
    n, over = result["n_patients"], f"{result['n_patients']} patients"
    if methods["p"]:
        numbers = dict.fromkeys(map(str, methods["n_encoders"]))
        over += f" and {' against '.join(numbers)} seeds"
    words = METRICS[result["metric"]].words
    words += " by patient" * (result["unit"] == "patient")
    if d["difference"] is None:
        return (
            f"{words} of {d['b']} and {d['a']} is not defined: "
            f"{d['no_interval']}."
        )
    seeds = _seeds_in_words(d)
    if methods["no_interval"] == ONE_SEED:
        seeds += "; about these models, not the methods"
    if d["p"] is not None and d["ci95"] is None:
        return (
            f"{d['b']} has the same {words} as {d['a']} in every draw of "
            f"{n} patients ({p_in_words(d['p'])}; {seeds})."
        )
    article = "an" if words[0] in "aeiouA" else "a"
    text = (
        f"{d['b']} has {article} {words} {abs(d['difference']):.3f} "
        f"{_side(d)} {d['a']}"
    )
    if d["p"] is None:
        return f"{text} (no interval and no p: {d['no_interval']}; {seeds})."
    if d["p"] >= ALPHA:
        up_to, least = max(map(abs, d["ci95"])), d["detectable"]
        which = "none" if least is None else f"one of {least:.3f}"
        return (
            f"{text}, a difference that {over} cannot prove "
            f"({p_in_words(d['p'])}; a difference up to {up_to:.3f} is not "
            f"ruled out, and {which} is found with 80 % power; {seeds})."
        )
    ends = sorted(map(abs, d["ci95"]))  # both on one side of 0
    return (
        f"{text} (95 % interval over {over} {_range(ends)}, "
        f"{p_in_words(d['p'])}; {seeds})."
    )


def _side(d) -> str:
    return "below" if d["difference"] < 0 else "above"


def _seeds_in_words(d) -> str:
    if d["sd_between_seeds"] is None:
        return "one seed each"
    side, n = _side(d), len(d["by_seed"])
    spread = f"between seeds +-{d['sd_between_seeds']:.3f}"
    if d["sd_between_seeds"] > abs(d["difference"]):
        spread += ", more than the difference: another seed may reverse it"
    if d["paired_by_seed"]:
        return f"{d[f'n_{side}']} of {n} seeds; {spread}"
    return (
        f"seeds not paired, {d[f'n_{side}']} of {n} {side} the mean of "
        f"{d['a']}; {spread}"
    )


def _number(value, form=".3f") -> str:
    return "none" if value is None else format(value, form)


def _range(ends) -> str:
    return "none" if ends is None else interval_in_words(ends)

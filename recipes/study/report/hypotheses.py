"""The paper's claims as hypothesis tests on a study's own results.

A claim is made of parts: in one mode, one encoder is better than another by
AUC. Each part is tested by the paired bootstrap over patients of the test
split, at 5 %. A claim is

- supported, if every part is found (an intersection-union test: no part is
  corrected, and a claim of which one part is false is still called supported
  in at most 5 %);
- contradicted, if some part is found the other way round, corrected for the
  number of parts (Holm);
- else not separable: these patients cannot tell.

The seeds at hand count as they are; their spread is told beside.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

from cry_modules.metrics.paired import ALPHA
from recipes.study.encoders import ENCODERS
from recipes.study.report.results import Results
from recipes.study.settings import MODE_NAMES, MODES, Settings

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
#: Of the inequalities of a claim that are part of the study; some are not.
SUPPORTED_SO_FAR = "supported as far as tested"
NOT_SEPARABLE = "not separable"
NOT_RUN = "not run"


class Part(NamedTuple):
    """One inequality: the first encoder's AUC is below the second's.

    Arguments
    ---------
    task : int
        0: the study's, 1: that of table 3.
    mode : str
        Of fine-tuning.
    lower : str
        Encoder.
    higher : str
        Encoder.
    """

    task: int
    mode: str
    lower: str
    higher: str


class Claim(NamedTuple):
    """What the poster says.

    Arguments
    ---------
    number : str
        As in the report.
    text : str
        In words.
    poster : str
        Its figures, AUC in percent.
    parts : list of Part
        All must hold.
    left_out : int
        How many further inequalities are of encoders or modes that the study
        leaves out.
    """

    number: str
    text: str
    poster: str
    parts: List[Part]
    left_out: int = 0


class Tested(NamedTuple):
    """A part and what was found.

    Arguments
    ---------
    part : Part
        The inequality.
    found : dict or None
        Of ``compare``: ``difference``, ``ci95``, ``p``, ``by_seed``, ...
    verdict : str
        Of this part alone.
    """

    part: Part
    found: Optional[Dict]
    verdict: str


class Verdict(NamedTuple):
    """A claim and what became of it.

    Arguments
    ---------
    claim : Claim
        What was asked.
    parts : list of Tested
        Each inequality.
    verdict : str
        ``SUPPORTED``, ``SUPPORTED_SO_FAR``, ``CONTRADICTED``,
        ``NOT_SEPARABLE`` or ``NOT_RUN``.
    """

    claim: Claim
    parts: List[Tested]
    verdict: str


def claims(n_tasks: int) -> List[Claim]:
    """The four claims."""
    others = ("simclr", "adapt_labelled", "adapt_all")
    best = [
        Part(0, mode, low, "adapt_replay") for mode in MODES for low in others
    ]
    if n_tasks > 1:
        best += [
            Part(1, mode, low, "adapt_replay")
            for mode in ("linear_bn", "end_to_end")
            for low in others
        ]
        best.append(Part(1, "linear", "adapt_replay", "adapt_all"))
    adapted = ("adapt_labelled", "adapt_all", "adapt_replay")
    return [
        Claim(
            "1",
            "End to end, SimCLR pre-training is better than supervised "
            "pre-training, and that better than training from scratch.",
            "SimCLR 83.9, supervised 80.0, from scratch not legible",
            [
                Part(0, "end_to_end", "supervised", "simclr"),
                Part(0, "end_to_end", "random", "supervised"),
            ],
        ),
        Claim(
            "2",
            "Adaptation to cries lifts the linear probe.",
            "71.3 to 78.8, 79.8 and, with replay, 80.8",
            [Part(0, "linear", "simclr", name) for name in adapted],
        ),
        Claim(
            "3",
            "Adaptation without replay lowers end-to-end training.",
            "83.9 to 80.8 and 81.3 (or 81.5)",
            [Part(0, "end_to_end", name, "simclr") for name in adapted[:2]],
        ),
        Claim(
            "4",
            "With replay all three modes are best"
            + (
                "; on triggers linear+BN and end to end are, and the linear "
                "probe is not."
                if n_tasks > 1
                else "."
            ),
            "80.8, 83.3, 85.0"
            + (
                "; triggers 75.6, 74.4, linear 74.2 below 74.5"
                if n_tasks > 1
                else ""
            ),
            best,
        ),
    ]


def within(claim: Claim, settings: Settings) -> Claim:
    """The part of a claim that a study can test."""
    parts = [
        part
        for part in claim.parts
        if part.mode in settings.modes
        and {part.lower, part.higher} <= {*settings.encoders}
    ]
    return claim._replace(parts=parts, left_out=len(claim.parts) - len(parts))


def judge(results: Results) -> List[Verdict]:
    """Test the claims on what the runs found; those of which no inequality is
    part of the study are left out.
    """
    tasks = results.settings.tasks
    verdicts = []
    for claim in claims(len(tasks)):
        claim = within(claim, results.settings)
        if not claim.parts:
            continue
        found = [
            results.difference(tasks[p.task].name, p.mode, p.lower, p.higher)
            for p in claim.parts
        ]
        tested = [
            Tested(part, one, verdict_on([one]))
            for part, one in zip(claim.parts, found)
        ]
        verdict = verdict_on(found)
        if verdict == SUPPORTED and claim.left_out:
            verdict = SUPPORTED_SO_FAR
        verdicts.append(Verdict(claim, tested, verdict))
    return verdicts


def verdict_on(found: Sequence[Optional[Dict]]) -> str:
    """What becomes of a claim with these parts.

    Example
    -------
    >>> better = {"difference": 0.1, "p": 0.01}
    >>> worse = {"difference": -0.1, "p": 0.03}
    >>> verdict_on([better, better]), verdict_on([worse])
    ('supported', 'contradicted')
    >>> unclear = {"difference": 0.1, "p": 0.2}
    >>> verdict_on([unclear, worse])  # corrected for two parts: 0.06
    'not separable'
    """
    if any(one is None for one in found):
        return NOT_RUN
    if all(_is_found(one, one["p"]) and one["difference"] > 0 for one in found):
        return SUPPORTED
    for one, p in zip(found, holm([one["p"] for one in found])):
        if _is_found(one, p) and one["difference"] < 0:
            return CONTRADICTED
    return NOT_SEPARABLE


def _is_found(one, p) -> bool:
    return p is not None and p < ALPHA and one["difference"] is not None


def holm(ps: Sequence[Optional[float]]) -> List[Optional[float]]:
    """P values corrected for their number, by Holm's procedure.

    Example
    -------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(
        range(len(ps)), key=lambda i: 1.0 if ps[i] is None else ps[i]
    )
    corrected: List[Optional[float]] = [None] * len(ps)
    largest = 0.0
    for rank, i in enumerate(order):
        if ps[i] is not None:
            largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
            corrected[i] = largest
    return corrected


def in_words(part: Part, results: Results) -> str:
    """An inequality as a reader takes it."""
    task = results.settings.tasks[part.task].label_column
    mode = MODE_NAMES[part.mode]
    return (
        f"{task}, {mode}: {ENCODERS[part.higher].label} above "
        f"{ENCODERS[part.lower].label}"
    )

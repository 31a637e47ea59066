"""The paper's claims, and two of ours, as hypothesis tests on a study's results.

A claim consists of parts: in one mode, one encoder's AUC is above another's.
Each part is tested at 5 % over patients of the test set and pre-training seeds
(``cry_modules/metrics/paired.py``). A claim is

- supported, if every part is significant (an intersection-union test: parts
  need no correction, and a claim with a false part is called supported in at
  most 5 %);
- contradicted, if a part is significant in the opposite direction after Holm's
  correction for the number of parts;
- undecided, if a part has one pre-training seed: another may reverse it;
- otherwise not separable: patients and seeds are too few to decide.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

from cry_modules.metrics.compare import ONE_SEED
from cry_modules.metrics.multiplicity import holm
from cry_modules.metrics.paired import ALPHA
from recipes.study.encoders import ENCODERS, PROPOSED
from recipes.study.report.results import Results
from recipes.study.report.tables import at_share, percent
from recipes.study.settings import Settings
from recipes.study.stages import MODE_NAMES, PROBES

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
#: Supported, but the study does not have all inequalities of the claim.
SUPPORTED_SO_FAR = "supported as far as tested"
NOT_SEPARABLE = "not separable"
UNDECIDED = "undecided"
NOT_RUN = "not run"


class Part(NamedTuple):
    """An inequality: in one task (index) and mode, with a fraction of the
    labels, the first encoder's AUC is below the second's."""

    task: int
    mode: str
    lower: str
    higher: str
    fraction: float = 1.0


class Claim(NamedTuple):
    """A claim: number in the report, text, the poster's AUC in percent (empty
    if the claim is not the poster's), and its parts."""

    number: str
    text: str
    poster: str
    parts: List[Part]


class Tested(NamedTuple):
    """A part with its entry of ``compare`` (``difference``, ``ci95``, ``p``,
    ``by_seed``; None if not run) and its own verdict."""

    part: Part
    result: Optional[Dict]
    verdict: str


class Verdict(NamedTuple):
    """A claim, its tested parts, its verdict, such as ``SUPPORTED``, and the
    number of parts that need encoders or modes the study does not have."""

    claim: Claim
    parts: List[Tested]
    verdict: str
    left_out: int

    @property
    def is_the_papers(self) -> bool:
        """True if the paper makes the claim and the study tests most of it."""
        return bool(self.claim.poster) and len(self.parts) >= self.left_out


_ADAPTED = ("adapt_labelled", "adapt_all", PROPOSED)


def claims(n_tasks: int) -> List[Claim]:
    """The poster's four claims as inequalities, of which the fourth has more if
    the study has two tasks; then the same on encoders read at blocks."""
    return [
        Claim(
            "1",
            "End to end, SimCLR pre-training is better than supervised "
            "pre-training, which is better than training from scratch.",
            "SimCLR 83.9, supervised 80.0, from scratch not legible",
            [
                Part(0, "end_to_end", "supervised", "simclr"),
                Part(0, "end_to_end", "random", "supervised"),
            ],
        ),
        Claim(
            "2",
            "Adaptation to cries improves the linear probe.",
            "71.3 to 78.8, 79.8 and, with replay, 80.8",
            [Part(0, "linear", "simclr", name) for name in _ADAPTED],
        ),
        Claim(
            "3",
            "Adaptation without replay worsens end-to-end training.",
            "83.9 to 80.8 and 81.3 (or 81.5)",
            [Part(0, "end_to_end", name, "simclr") for name in _ADAPTED[:2]],
        ),
        _claim_on_replay(n_tasks > 1),
        Claim(
            "5",
            "Read at blocks, with frequency kept, SimCLR pre-training is better "
            "than random weights.",
            "",
            [Part(0, "linear_blocks", "random_calibrated", "simclr")],
        ),
        Claim(
            "6",
            "Read at blocks, adaptation with replay improves on pre-training.",
            "",
            [Part(0, "linear_blocks", "simclr", PROPOSED)],
        ),
    ]


def at_fractions(claims: Sequence[Claim], settings: Settings) -> List[Claim]:
    """The claims, followed by those on linear probes with fewer labels."""
    fewer = [
        Claim(
            f"{claim.number}, {percent(fraction)} of the labels",
            f"{claim.text.rstrip('.')}, with {percent(fraction)} of the labels.",
            claim.poster,
            [
                part._replace(fraction=fraction)
                for part in claim.parts
                if part.task == 0 and part.mode in PROBES
            ],
        )
        for fraction in settings.compared_at
        for claim in claims
    ]
    return [*claims, *fewer]


def _claim_on_replay(two_tasks: bool) -> Claim:
    best = [(0, mode) for mode in ("linear", "linear_bn", "end_to_end")]
    text, poster = "With replay all three modes are best", "80.8, 83.3, 85.0"
    if two_tasks:
        best += [(1, "linear_bn"), (1, "end_to_end")]
        text += "; on triggers linear+BN and end to end are best, and the "
        text += "linear probe is not"
        poster += "; triggers 75.6, 74.4, linear 74.2 below 74.5"
    others = ("simclr", *_ADAPTED[:2])
    parts = [Part(*cell, low, PROPOSED) for cell in best for low in others]
    if two_tasks:
        parts.append(Part(1, "linear", PROPOSED, "adapt_all"))
    return Claim("4", f"{text}.", poster, parts)


def judge(results: Results) -> List[Verdict]:
    """Test the claims; those without a part in the study, or with only parts
    that an earlier claim has, are left out: a difference counts once."""
    settings, verdicts = results.settings, []
    tasks, encoders = settings.tasks, {*settings.encoders}
    for claim in at_fractions(claims(len(tasks)), settings):
        parts = [
            part
            for part in claim.parts
            if part.mode in settings.modes
            and {part.lower, part.higher} <= encoders
        ]
        earlier = {t.part for v in verdicts for t in v.parts}
        if {*parts} <= earlier:
            continue
        differences = [
            results.difference(
                tasks[p.task].name, p.mode, p.lower, p.higher, p.fraction
            )
            for p in parts
        ]
        tested = [
            Tested(part, difference, verdict_on([difference]))
            for part, difference in zip(parts, differences)
        ]
        verdict = verdict_on(differences)
        left_out = len(claim.parts) - len(parts)
        if verdict == SUPPORTED and left_out:
            verdict = SUPPORTED_SO_FAR
        verdicts.append(Verdict(claim, tested, verdict, left_out))
    return verdicts


def verdict_on(differences: Sequence[Optional[Dict]]) -> str:
    """Verdict on a claim with these differences of its parts."""
    if any(part is None for part in differences):
        return NOT_RUN
    if any(part.get("no_interval") == ONE_SEED for part in differences):
        return UNDECIDED
    signs = [_sign(part, part["p"]) for part in differences]
    if all(sign > 0 for sign in signs):
        return SUPPORTED
    corrected = holm([part["p"] for part in differences])
    if any(_sign(*pair) < 0 for pair in zip(differences, corrected)):
        return CONTRADICTED
    return NOT_SEPARABLE


def _sign(part, p) -> int:
    """Direction of a significant difference, otherwise 0."""
    if p is None or p >= ALPHA or part["difference"] is None:
        return 0
    difference = float(part["difference"])
    return (difference > 0) - (difference < 0)


def corrected_claims(verdicts: Sequence[Verdict]) -> List[Optional[float]]:
    """p of each claim, corrected for the number of claims by Holm's procedure.

    The p of a claim is the largest of its inequalities, and 1 if a difference
    has the opposite direction; None if one has no p.
    """
    return holm([_p_of_claim(verdict) for verdict in verdicts])


def _p_of_claim(verdict) -> Optional[float]:
    parts = [tested.result for tested in verdict.parts]
    if any(part is None or part["p"] is None for part in parts):
        return None
    if any(part["difference"] <= 0 for part in parts):
        return 1.0
    return max(part["p"] for part in parts)


def claim_in_words(verdict: Verdict, results: Results) -> str:
    """The claim's text; the inequalities if the study has few of them."""
    if len(verdict.parts) >= verdict.left_out:
        return verdict.claim.text
    parts = [in_words(tested.part, results) for tested in verdict.parts]
    return f"{'; '.join(parts)}."


def in_words(part: Part, results: Results) -> str:
    """An inequality as text."""
    task = results.settings.tasks[part.task].label_column
    mode = at_share(MODE_NAMES[part.mode], part.fraction)
    return (
        f"{task}, {mode}: {ENCODERS[part.higher].label} above "
        f"{ENCODERS[part.lower].label}"
    )

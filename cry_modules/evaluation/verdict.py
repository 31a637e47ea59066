"""The verdict of the confound report: what its numbers show, in words."""

from typing import Dict, List, Optional, Sequence

import numpy as np

from cry_modules.evaluation.cross_validation import Evidence
from cry_modules.evaluation.questions import Gap, Question
from cry_modules.metrics.words import interval_in_words

SURE = 0.05  # p value
_MATTERS = 0.02  # AUC; without any leak, differences of 0.006 are usual
_WEAK = 0.7  # AUC below which a difference is called slight


def conclusion(evidence: Evidence) -> str:
    """Strength of evidence: ``proven`` if interval and permutation test agree,
    ``unproven`` if one does, ``none``, or ``too few`` patients.

    Example
    -------
    >>> luck = Evidence(0.68, [0.53, 0.8], 0.08, [], 99, 50, 5, np.empty(0))
    >>> conclusion(luck)
    'unproven'
    """
    if evidence.ci95 is None:
        return "too few"
    signs = [evidence.ci95[0] > 0.5, evidence.p <= SURE]
    return "proven" if all(signs) else "unproven" if any(signs) else "none"


def verdict(
    questions: Dict[str, Question], gap: Optional[Gap], label: str
) -> List[str]:
    """Conclusions in words: leakage, the label, and each confounder."""
    paragraphs = []
    if gap is not None:
        grouped = questions["label_audio_grouped"]
        random = questions["label_audio_random"].evidence
        leakage = _leakage(gap, grouped, random, label)
        paragraphs.append("Leakage: " + leakage)
        paragraphs.append("Label: " + _label(grouped, label))
    for name, (subject, advice, finding) in _CONFOUNDERS.items():
        if questions[name].evidence is not None:
            finding, advice = (
                text.replace("{label}", label) for text in (finding, advice)
            )
            text = _answer(questions[name], finding, advice)
            paragraphs.append(f"{subject}: {text}")
    for reason in dict.fromkeys(q.why_not for q in questions.values()):
        if reason:
            names = "; ".join(
                q.in_words(label)
                for q in questions.values()
                if q.why_not == reason
            )
            paragraphs.append(f"Not evaluated ({reason}): {names}.")
    return paragraphs


def _leakage(gap: Gap, grouped: Question, random: Evidence, label: str) -> str:
    """The shuffled labels show surely whether there is a leak; the gap, how
    much this label gains, which a rare class leaves uncertain."""
    if random.n == random.n_patients:
        return "not possible: every patient has one recording."
    size = f"{gap.value:+.2f} AUC (no interval: {_few(grouped)})"
    if gap.ci95 is not None:
        size = f"{gap.value:+.2f} AUC ({range_in_words(gap.ci95)})"
    if rewards_recognition(random.null, grouped.evidence.null):
        uncertain = ", which so few patients leave uncertain"
        if gap.ci95 is None or gap.ci95[0] > 0:
            uncertain = ""
        return (
            "present. Recordings of one baby are alike, and a random split puts "
            "them on both sides: it rewards recognising the baby. With labels "
            "shuffled between patients nothing true is left to learn, yet it "
            f"reaches AUC {np.mean(random.null):.2f} on average, against "
            f"{np.mean(grouped.evidence.null):.2f} with patients kept apart. "
            f"For {label} itself a random split adds {size}{uncertain}. Report "
            "only results of patient-grouped splits."
        )
    if gap.ci95 is not None and gap.ci95[0] > 0:
        return (
            f"unclear. For {label} a random split, which puts recordings of "
            f"one baby on both sides, adds {size}; to labels shuffled between "
            "patients, where only recognising the baby could help, it adds "
            "nothing. So the gain may come from more babies in training as "
            "well as from recognising them. Keep patients apart."
        )
    return (
        f"no evidence. A random split adds {size}, and nothing to labels "
        "shuffled between patients. Keep patients apart anyway."
    )


def rewards_recognition(random: List[float], grouped: List[float]) -> bool:
    """Test if a random split raises the AUC of shuffled labels, as recognising
    patients does; takes the AUCs of both splits."""
    added = np.subtract(random, grouped)
    error = added.std() / np.sqrt(len(added))
    return bool(added.mean() > max(_MATTERS, 2 * error))


def _label(question: Question, label: str) -> str:
    evidence, known = question.evidence, conclusion(question.evidence)
    text = _answer(
        question,
        f"{label} can be predicted in babies that the model has not met",
        "The next lines say whether from the cry or from something else.",
    )
    if known == "unproven":
        text += " It may be chance among these babies."
    if known == "none":
        text += (
            " Labels shuffled between patients do as well. An AUC up to "
            f"{evidence.ci95[1]:.2f} is not ruled out."
        )
    if known == "proven" and evidence.auc < _WEAK:
        text += " It is slight: not a basis for decisions about one child."
    return text


#: Subject, advice if it is proven, and the finding.
_CONFOUNDERS = {
    "label_site": (
        "Site",
        "A classifier could learn the site instead of the cry: compare "
        "within one site, or balance the sites.",
        "{label} follows the site",
    ),
    "label_file": (
        "File facts",
        "A classifier could learn how the recording was made: bring them to "
        "one length, level and format, and see whether it still can.",
        "{label} can be predicted from sample rate, format, duration and level",
    ),
    "label_background": (
        "Background",
        "A classifier could learn the room or the device; but the level and "
        "the echo of the cry reach these frames too.",
        "{label} can be predicted from the quietest frames of each recording",
    ),
    "site_audio": (
        "Device",
        "That is harmless only if {label} and site are unrelated.",
        "the recording site can be predicted",
    ),
    "site_background": (
        "Device in the background",
        "The room or the device is in the sound, whatever the cry.",
        "the recording site can be predicted from the quietest frames",
    ),
}


def _answer(question: Question, finding: str, advice: str) -> str:
    """Say how far a finding is proven; with advice if it is."""
    known, numbers = (
        conclusion(question.evidence),
        auc_in_words(question.evidence),
    )
    if question.target == "site":
        names = question.classes
        sites = f"{len(names)} sites"
        if len(names) == 2:
            sites = " against ".join(names)
        numbers = f"{sites}: {numbers}"
    if known == "too few":
        return (
            f"too few patients in class {_few(question)} to decide whether "
            f"{finding} ({numbers})."
        )
    if known == "proven":
        return f"{finding} ({numbers}). {advice}"
    if known == "unproven":
        return (
            f"not proven that {finding} ({numbers}): the interval and the test "
            "by shuffled labels disagree, so only more patients can decide."
        )
    return f"no evidence that {finding} ({numbers})."


def _few(question: Question) -> str:
    name, n = question.fewest
    return f"{name} ({n})"


def range_in_words(ends: Sequence[float]) -> str:
    """Ends of a range of AUCs, as text."""
    return interval_in_words(ends, ".2f")


def auc_in_words(evidence: Evidence) -> str:
    """AUC with its interval and p, as text."""
    ci95 = (
        "no interval"
        if evidence.ci95 is None
        else range_in_words(evidence.ci95)
    )
    return (
        f"AUC {evidence.auc:.2f} ({ci95}), p = {p_value_in_words(evidence.p)}"
    )


def p_value_in_words(value: float) -> str:
    """p of a permutation test as text, with as many digits as it needs.

    Example
    -------
    >>> p_value_in_words(0.04), p_value_in_words(0.002)
    ('0.04', '0.002')
    """
    return f"{value:.2f}" if value > 0.0095 else f"{value:.3f}"

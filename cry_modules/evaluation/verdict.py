"""What the figures of the probes say, in plain language."""

from typing import Dict, List, Optional

import numpy as np

from cry_modules.evaluation.baseline import Evidence
from cry_modules.evaluation.questions import Gap, Probe, about

SURE = 0.05  # p value
_MATTERS = 0.02  # AUC; without any leak, differences of 0.006 are usual
_WEAK = 0.7  # AUC below which a difference is called slight


def standing(evidence: Evidence) -> str:
    """What may be claimed: both the interval and the shuffles must agree.

    Example
    -------
    >>> luck = Evidence(0.68, [0.53, 0.8], 0.08, [], 99, 50, 5, np.empty(0))
    >>> standing(luck)
    'unproven'
    """
    if evidence.ci95 is None:
        return "too few"
    signs = [evidence.ci95[0] > 0.5, evidence.p <= SURE]
    return "found" if all(signs) else "unproven" if any(signs) else "none"


def verdict(
    probes: Dict[str, Probe], gap: Optional[Gap], label: str
) -> List[str]:
    """What the numbers say, in plain language and no more than they say."""
    paragraphs = []
    if gap is not None:
        grouped = probes["label_audio_grouped"]
        random = probes["label_audio_random"].evidence
        leakage = _leakage(gap, grouped, random, label)
        paragraphs.append("Leakage: " + leakage)
        paragraphs.append("Label: " + _heard(grouped, label))
    for name, (subject, found, what) in _OTHERS.items():
        if probes[name].evidence is not None:
            what, found = (t.replace("{label}", label) for t in (what, found))
            text = _one_other(probes[name], found, what)
            paragraphs.append(f"{subject}: {text}")
    for reason in dict.fromkeys(p.why_not for p in probes.values()):
        if reason:
            unasked = [p for p in probes.values() if p.why_not == reason]
            names = "; ".join(about(probe, label) for probe in unasked)
            paragraphs.append(f"Not asked ({reason}): {names}.")
    return paragraphs


def _leakage(gap: Gap, grouped: Probe, random: Evidence, label: str) -> str:
    """The shuffles say whether there is a leak, and say it surely; the gap
    how much it gives this label, which a rare class leaves uncertain."""
    if random.n == random.n_patients:
        return "none is possible: every patient has one recording."
    size = f"{gap.value:+.2f} AUC (no interval: {_few(grouped)})"
    if gap.ci95 is not None:
        size = f"{gap.value:+.2f} AUC ({in_words(gap.ci95)})"
    if recognised(random.null, grouped.evidence.null):
        return (
            "found. Recordings of one baby are alike, and a random split puts "
            "them on both sides: it rewards recognising the baby. With labels "
            "shuffled between patients nothing true is left to learn, yet it "
            f"reaches AUC {np.mean(random.null):.2f} on average, against "
            f"{np.mean(grouped.evidence.null):.2f} with patients kept apart. "
            f"To {label} itself a random split adds {size}"
            + _uncertain(gap)
            + ". Quote only figures from patient-grouped splits."
        )
    if gap.ci95 is not None and gap.ci95[0] > 0:
        return (
            f"not clear. A random split adds {size}, but nothing to labels "
            "shuffled between patients. Keep patients apart."
        )
    return (
        f"no sign of it. A random split adds {size}, and nothing to labels "
        "shuffled between patients. Keep patients apart all the same."
    )


def _uncertain(gap: Gap) -> str:
    if gap.ci95 is None or gap.ci95[0] > 0:
        return ""
    return ", which so few patients leave uncertain"


def recognised(random: List[float], grouped: List[float]) -> bool:
    """Whether a random split rewards recognising the patient.

    Example
    -------
    >>> recognised([0.6, 0.65, 0.61], [0.5, 0.48, 0.52])
    True
    """
    added = np.subtract(random, grouped)
    error = added.std() / np.sqrt(len(added))
    return bool(added.mean() > max(_MATTERS, 2 * error))


def _heard(probe: Probe, label: str) -> str:
    evidence, known = probe.evidence, standing(probe.evidence)
    if known == "too few":
        return (
            f"too few patients in class {_few(probe)} to say whether {label} "
            f"can be heard (patient-grouped AUC {evidence.auc:.2f})."
        )
    if known == "unproven":
        return (
            f"not proven that {label} can be heard: patient-grouped "
            f"{quoted(evidence)}. It may be the luck of these babies."
        )
    if known == "none":
        return (
            f"no sign that {label} can be heard: patient-grouped "
            f"{quoted(evidence)}; labels shuffled between patients do as "
            f"well. An AUC up to {evidence.ci95[1]:.2f} is not ruled out."
        )
    text = (
        f"{label} can be told in babies that the model has not met: "
        f"patient-grouped {quoted(evidence)}. Whether from the cry or from "
        "what is listed below, the next lines say."
    )
    if evidence.auc < _WEAK:
        text += " It is slight: no ground for decisions about one child."
    return text


#: Subject, what to say where it was found, and what was looked for.
_OTHERS = {
    "label_site": (
        "Site",
        "A classifier could learn the site instead of the cry: compare "
        "within one site, or balance the sites.",
        "{label} follows the site",
    ),
    "label_file": (
        "File facts",
        "A classifier could learn how the recording was made: bring "
        "them to one length, level and format, and see whether it still can.",
        "{label} can be told from sample rate, format, duration and level",
    ),
    "label_background": (
        "Background",
        "A classifier could learn the room or the device; but the level and "
        "the echo of the cry reach these frames too.",
        "{label} can be told from the quietest frames of each recording",
    ),
    "site_audio": (
        "Device",
        "That is harmless only while {label} and site do not go together.",
        "the recording site can be heard",
    ),
    "site_background": (
        "Device in the background",
        "The room or the device is in the sound, whatever the cry.",
        "the recording site can be heard in the quietest frames",
    ),
}


def _one_other(probe: Probe, found: str, what: str) -> str:
    evidence, known = probe.evidence, standing(probe.evidence)
    if known == "too few":
        return f"too few patients in class {_few(probe)} to say whether {what}."
    numbers = quoted(evidence)
    if probe.target == "site":
        numbers = f"{_against(probe.classes)}: {numbers}"
    if known == "found":
        return f"{what} ({numbers}). {found}"
    if known == "unproven":
        return f"not proven that {what} ({numbers}); worth a second look."
    return f"no sign that {what} ({numbers})."


def _few(probe: Probe) -> str:
    name, n = probe.fewest
    return f"{name} ({n})"


def _against(names: List[str]) -> str:
    return " against ".join(names) if len(names) == 2 else f"{len(names)} sites"


def in_words(ci95: List[float]) -> str:
    """An interval.

    Example
    -------
    >>> in_words([0.5, 0.75])
    '0.50 to 0.75'
    """
    return f"{ci95[0]:.2f} to {ci95[1]:.2f}"


def quoted(evidence: Evidence) -> str:
    """The figures as a sentence quotes them.

    Example
    -------
    >>> quoted(Evidence(0.68, [0.53, 0.8], 0.08, [], 99, 50, 5, np.empty(0)))
    'AUC 0.68 (0.53 to 0.80), p = 0.08'
    """
    ci95 = "no interval" if evidence.ci95 is None else in_words(evidence.ci95)
    return f"AUC {evidence.auc:.2f} ({ci95}), p = {p_value(evidence.p)}"


def p_value(value: float) -> str:
    """A p value, with as many digits as it takes.

    Example
    -------
    >>> p_value(0.04), p_value(0.002)
    ('0.04', '0.002')
    """
    return f"{value:.2f}" if value > 0.0095 else f"{value:.3f}"

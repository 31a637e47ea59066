"""The families of tests of a study, and how each is corrected: one paragraph."""

from typing import Any, Dict, List

from cry_modules.metrics.words import p_in_words
from data_prep.files.words import count


def paragraph(context: Dict[str, Any]) -> str:
    """Name the families of tests of a page, their number and correction."""
    pairs, controls = context["pairs"], context["controls"]
    verdicts, claims_p = context["verdicts"], context["claims_p"]
    others = [row for row in controls if not row["in_pairs"]]
    families = [
        f"{count(len(entry.rows), 'difference')} between encoders or to log-mel "
        f"statistics ({entry.title})"
        for entry in pairs
        if _are_tested(entry.rows)
    ]
    if _are_tested(others):
        families.append(
            f"{count(len(others), 'difference')} of methods to their controls that "
            "no such table has"
        )
    if any(p is not None for p in claims_p):
        families.append(
            f"{count(len(verdicts), 'claim')}, whose p is the largest of its "
            "inequalities, 1 if one has the opposite direction"
        )
    if not families:
        return "No difference was tested, so there is no p to correct."
    text = (
        "Differences are tested at 5 %, two-sided. p values are corrected by "
        "Holm's procedure for their number within a family and not across "
        f"families, of which there {'are' if len(families) > 1 else 'is'} "
        f"{len(families)}: {'; '.join(families)}. "
    )
    if len(others) < len(controls):
        text += (
            "A difference in two tables is one test, with the p of its first "
            "family. "
        )
    return text + " ".join([*_of_claims(verdicts, claims_p), _NOT_CORRECTED])


def _are_tested(rows) -> bool:
    return any(row["p"] is not None for row in rows)


def _of_claims(verdicts, claims_p) -> List[str]:
    if all(p is None for p in claims_p):
        return []
    n = sum(len(verdict.parts) for verdict in verdicts)
    values = ", ".join(
        f"{verdict.claim.number}: {p_in_words(p)}"
        for verdict, p in zip(verdicts, claims_p)
        if p is not None
    )
    return [
        f"Corrected p of the claims: {values}{_without(claims_p)}. Their "
        "verdicts are not corrected for the number of claims: supported needs the uncorrected p of every "
        f"inequality ({n} in all) below 5 %, which needs no correction, and "
        "contradicted one in the opposite direction, corrected for the "
        "inequalities of its claim."
    ]


def _without(claims_p) -> str:
    n = sum(p is None for p in claims_p)
    return f" ({n} more without a p, which count)" if n else ""


_NOT_CORRECTED = (
    "Intervals, those of the points of curves too, are 95 % each by itself."
)

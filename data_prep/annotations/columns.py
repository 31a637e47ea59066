"""Names of columns in tables of events, as programs and people give them."""

from typing import Dict, Sequence

from data_prep.files.identifiers import cleaned

#: Names of the columns, in lower case, without units; the first is ours, and
#: of several in a table the first wins.
_NAMES = [
    "recording filename file audio file_name path wav audio_file".split(),
    "onset start begin onset_time start_time begin_time".split(),
    "offset stop end offset_time end_time stop_time".split(),
    "duration length".split(),
    (
        "label annotation annotations labels event_label class sound_class "
        "species tags type event call_type common_name sound_type call text "
        "code notes comment"
    ).split(),
    "score confidence probability".split(),
    "tier annotator speaker coder rater".split(),
    ["channel"],
]
_UNITS = ("_(s)", "(s)", "_[s]", "_(sec)", "_seconds", "_sec", "_s")


def plain(name: str) -> str:
    """Name of a column in lower case, without its unit.

    Example
    -------
    >>> plain("Start Time (s)"), plain("onset_s")
    ('start_time', 'onset')
    """
    name = "_".join(cleaned(name).lower().replace("_", " ").split())
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return name


def columns_of(header: Sequence[str]) -> Dict[str, str]:
    """Columns of a table by our names.

    Example
    -------
    >>> columns_of(["Begin Time (s)", "File", "Species"])
    {'recording': 'File', 'onset': 'Begin Time (s)', 'label': 'Species'}
    """
    theirs = {plain(name): cleaned(name) for name in reversed(header)}
    return {
        names[0]: theirs[name]
        for names in _NAMES
        for name in [next((n for n in names if n in theirs), None)]
        if name is not None
    }

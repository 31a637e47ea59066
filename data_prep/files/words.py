"""Numbers and durations as people write them."""


def count(n: int, thing: str) -> str:
    """Number with a noun in the singular or plural.

    Example
    -------
    >>> count(1, "patient"), count(0, "patient")
    ('1 patient', '0 patients')
    """
    return f"{n} {thing}" + "s" * (n != 1)


def duration_in_words(seconds: float) -> str:
    """Duration with two digits, in the unit that fits.

    Example
    -------
    >>> [duration_in_words(s) for s in (0.142, 5.06, 60, 700, 7800, 4e5)]
    ['0.14 seconds', '5.1 seconds', '1 minute', '12 minutes', '2.2 hours', \
'4.6 days']
    """
    unit, name = 86400, "day"
    for limit, *shorter in (
        (172800, 3600, "hour"),
        (5400, 60, "minute"),
        (59.5, 1, "second"),
    ):
        if seconds < limit:
            unit, name = shorter
    number = seconds / unit
    text = f"{number:.2g}" if number < 9.95 else f"{number:.0f}"
    return f"{text} {name}" + "s" * (text != "1")

"""Less on the console: messages of libraries that tell a user nothing, and
progress bars where nobody watches them."""

import logging
import sys
from contextlib import contextmanager
from typing import Iterator, Set

import tqdm.std

#: Beginnings of messages that are kept for ``log.txt``, by logger.
_UNIMPORTANT = {
    "speechbrain.utils.quirks": ("",),
    "speechbrain.utils.train_logger": ("torchvision is not available",),
    "speechbrain.core": (
        *("Gradscaler enabled", "Using training precision"),
        *("Using evaluation precision", "Beginning experiment"),
    ),
}


def quiet_libraries() -> None:
    """Log unimportant messages of SpeechBrain as ``DEBUG``, which its console
    does not show and its file does; not at all where ``DEBUG`` is not logged,
    as in the commands that have no such file."""
    for name in _UNIMPORTANT:
        logger = logging.getLogger(name)
        if _demote not in logger.filters:
            logger.addFilter(_demote)


def _demote(record: logging.LogRecord) -> bool:
    if record.getMessage().startswith(_UNIMPORTANT[record.name]):
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)
    return True


@contextmanager
def shown_once(shown: Set[str], hides_news: bool = False) -> Iterator[None]:
    """Context manager in which messages that are ``shown`` already are logged
    as ``DEBUG``, which the console does not show and its file does; others are
    added. ``hides_news`` does so with all but warnings and errors."""
    make = logging.getLogRecordFactory()

    def demoted(*args, **kwargs):
        record = make(*args, **kwargs)
        if record.levelno not in (logging.INFO, logging.WARNING):
            return record
        text, is_news = record.getMessage(), record.levelno == logging.INFO
        if text in shown or (hides_news and is_news):
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        shown.add(text)
        return record

    logging.setLogRecordFactory(demoted)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def quiet_bars() -> None:
    """Let a progress bar write one line, at its end, where its output is not a
    terminal: a log would hold every state of it."""
    bar = tqdm.std.tqdm
    if getattr(bar, "writes_once", False):
        return
    begin, close, display = bar.__init__, bar.close, bar.display

    def __init__(self, *args, **kwargs):
        file = kwargs.get("file") or sys.stderr
        is_terminal = getattr(file, "isatty", lambda: False)()
        # Not a notebook's bar, which is not text.
        if not is_terminal and type(self).display is display:
            self.display = lambda *_, **__: True
        begin(self, *args, **kwargs)

    def close_with_line(self):
        vars(self).pop("display", None)
        close(self)

    bar.__init__, bar.close, bar.writes_once = __init__, close_with_line, True

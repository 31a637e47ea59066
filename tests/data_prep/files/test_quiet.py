"""Messages of libraries and progress bars that nobody watches."""

import io
import logging

import pytest
from tqdm import tqdm

import data_prep  # noqa: F401 (makes them quiet)
from data_prep.files.quiet import shown_once


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "name, message, level",
    [
        ("speechbrain.utils.quirks", "Applied quirks", logging.DEBUG),
        ("speechbrain.core", "Gradscaler enabled: `False`", logging.DEBUG),
        ("speechbrain.core", "Using training precision: x", logging.DEBUG),
        ("speechbrain.core", "Experiment folder: a", logging.INFO),
        ("speechbrain.utils.train_logger", "Epoch 1", logging.INFO),
        (
            "speechbrain.utils.train_logger",
            "torchvision is not available - cannot save figures",
            logging.DEBUG,
        ),
    ],
)
def test_what_tells_a_user_nothing_is_for_the_file(
    name, message, level, caplog
):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(name).info(message)
    assert [r.levelno for r in caplog.records] == [level]


def test_a_command_without_a_file_does_not_show_it(caplog):
    """Its handler has no level of its own, and would show a DEBUG record."""
    with caplog.at_level(logging.INFO):
        logging.getLogger("speechbrain.utils.quirks").info("Applied quirks")
        logging.getLogger("speechbrain.core").info("Experiment folder: a")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["Experiment folder: a"]


def test_what_is_shown_once_stays_in_the_file(caplog):
    """Folds repeat their facts: the console (INFO) shows them once."""
    logger, shown = logging.getLogger("folds"), set()
    with caplog.at_level(logging.DEBUG):
        for fold in range(2):
            with shown_once(shown, hides_news=fold > 0):
                logger.info("2 parameters")
                logger.info("C = %.1f", fold)
                logger.warning("few patients")
                logger.warning("fold %d is odd", fold)
        logger.info("2 parameters")
    texts = [r.getMessage() for r in caplog.records]
    on_console = [r.getMessage() for r in caplog.records if r.levelno > 10]
    assert texts.count("2 parameters") == 3 and len(texts) == 9
    assert on_console == [
        "2 parameters", "C = 0.0", "few patients", "fold 0 is odd",
        "fold 1 is odd", "2 parameters",
    ]  # fmt: skip


def test_a_bar_is_one_line_where_nobody_watches():
    file = io.StringIO()
    bar = tqdm(range(50), desc="epochs", file=file, mininterval=0)
    for i in bar:
        bar.set_postfix(loss=i)
    text = file.getvalue()
    assert text.count("epochs") == 1 and text.count("\n") == 1
    assert "50/50" in text and "loss=49" in text
    file = io.StringIO()
    tqdm(range(3), file=file, disable=True).close()
    assert not file.getvalue()


def test_a_bar_moves_on_a_terminal():
    file = Terminal()
    for _ in tqdm(range(50), desc="epochs", file=file, mininterval=0):
        pass
    assert file.getvalue().count("epochs") > 10

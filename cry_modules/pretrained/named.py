"""Encoders that the user has named: a stranger's module is only imported when
its name was typed on the command line, not when a file holds it."""

from argparse import ArgumentParser
from typing import Dict, Optional

from cry_modules.architectures import architecture_of, is_pretrained
from data_prep.files.errors import InputError, require
from data_prep.files.option_values import Unfit

#: Weights of the encoders that the user has named, by architecture.
_NAMED: Dict[str, str] = {}


class NotNamed(InputError):
    """A file holds the name of a module, which the user has not typed."""


def name_pretrained(source: str) -> None:
    """Remember a pretrained encoder that the user has named on the command line:
    a module that is not remembered is not imported."""
    require(
        source.count(":") < 2 or not source.endswith(":"),
        f"the encoder {source} ends in a colon",
        "write its weights there, or leave the colon out (a variable of the "
        "shell that is not set is empty)",
    )
    _NAMED[architecture_of(source)] = ":".join(source.split(":")[2:])


def add_encoder_source(parser: ArgumentParser) -> None:
    """Add the option that names the module of a model's encoder again."""

    def named(source: str) -> str:
        if not is_pretrained(source):
            raise Unfit(f"is {source}; expected hear:MODULE[:WEIGHTS]")
        try:
            name_pretrained(source)
        except InputError as error:
            raise Unfit(f"is {source}: {error}")
        return source

    parser.add_argument(
        "--encoder_source",
        metavar="hear:MODULE[:WEIGHTS]",
        type=named,
        help="module with the model's encoder, where somebody else wrote it: it "
        "is only imported when it is named here",
    )


def named_weights(name: str) -> Optional[str]:
    """Weights that the user has named with an architecture, empty if none; None
    if the user has not named the architecture."""
    return _NAMED.get(name)

"""Serve a web page on this machine that scores a recording.

    python -m cry_modules.demo MODEL --open

Only who has the printed address, on this machine, can open the page. It loads
nothing from elsewhere, and an upload is deleted as soon as it is scored. For
research: not a medical device.
"""

import importlib.util
import secrets
from typing import Optional, Sequence

from cry_modules.demo.server import HOST, announce, listen, run, until_signal
from cry_modules.demo.uploads import Uploads, private_folder
from cry_modules.pretrained.named import add_encoder_source
from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors, require
from data_prep.files.option_values import whole_number


def make_parser() -> Arguments:
    """Options of the command."""
    parser = Arguments(
        prog="python -m cry_modules.demo", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="exported folder, results folder of train_cls.py, or Hugging "
        "Face id",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65_535),
        default=7860,
        help="port to listen on; 0: any free one (default: 7860)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument(
        "--open", action="store_true", help="open the page in a browser"
    )
    add_encoder_source(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    args = make_parser().parse_args(argv)
    with one_line_errors(), until_signal():
        _serve(args)


def _serve(args):
    require(
        importlib.util.find_spec("gradio") is not None,
        "the page needs Gradio, which is not installed",
        "pip install 'cry-ssl[demo]'",
    )
    # These import torch and Gradio, which take seconds.
    from cry_modules.checkpoints.saved_model import load_model
    from cry_modules.demo.app import make_app, restrict_gradio
    from cry_modules.inference.classifier import CryClassifier

    model = load_model(args.model)
    classifier = CryClassifier.from_model(model, {"device": args.device})
    classifier.require_classes()
    with listen(args.port) as server, private_folder() as folder:
        uploads, token = Uploads(folder / "uploads"), secrets.token_urlsafe(24)
        restrict_gradio(str(uploads.folder))
        app = make_app(model, classifier, args.model, uploads, token)
        url = f"http://{HOST}:{server.getsockname()[1]}/{token}/"
        announce(url, folder, args.open)
        run(app, server)


if __name__ == "__main__":
    main()

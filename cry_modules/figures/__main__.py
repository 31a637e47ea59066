"""Draw the results of a classifier, or the training curves of runs.

> python -m cry_modules.figures results/neuro_linear/2022
> python -m cry_modules.figures results/small_adapt/2022 \\
>     results/small_adapt_replay/2022 --out curves.png

A run of train_cls.py has its results drawn into its ``figures`` folder. Of
other runs, and wherever ``--out`` is given, training curves are drawn.
"""

from pathlib import Path
from typing import Optional, Sequence

from data_prep.files.arguments import Arguments
from data_prep.files.atomic import messages_to
from data_prep.files.errors import one_line_errors, require


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command ``python -m cry_modules.figures``."""
    parser = Arguments(
        prog="python -m cry_modules.figures",
        description="Draw the results of a classifier, or the training curves "
        "of runs.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="output_folder of a training"
    )
    parser.add_argument(
        "--out",
        help="picture of the training curves (default: curves.png, or a "
        "classifier's results in its folder)",
    )
    parser.add_argument(
        "--names",
        action="store_true",
        help="name the patients in patients.png, which must not be shared then",
    )
    args = parser.parse_intermixed_args(argv)
    with one_line_errors():
        # These import torch and matplotlib, which take seconds.
        from cry_modules.figures.results import draw_results, read_results
        from cry_modules.figures.training import draw_curves, names_of, read_run

        first = Path(args.runs[0])
        is_classifier = (first / "metrics.json").is_file()
        if args.out is None and is_classifier and len(args.runs) == 1:
            drawn = draw_results(read_results(first), first, args.names)
            print(f"{len(drawn)} pictures in {first / 'figures'}")
            if args.names:
                print("patients.png names patients: do not share it")
            return
        require(
            not args.names,
            "--names is for the results of one classifier",
            "pass the output_folder of one train_cls.py run, without --out",
        )
        out, names = args.out or "curves.png", names_of(args.runs)
        histories = {n: read_run(run) for n, run in zip(names, args.runs)}
        title = names[0] if len(names) == 1 else f"{len(names)} trainings"
        draw_curves(histories, Path(out), title)
        print(f"picture in {out}", file=messages_to(out))


if __name__ == "__main__":
    main()

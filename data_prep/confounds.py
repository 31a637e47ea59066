"""Command line: what in a clinical corpus besides the cry predicts the label."""

from cry_modules.evaluation.confounds import main

if __name__ == "__main__":
    main()

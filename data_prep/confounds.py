"""Confound report: which facts besides the cry predict the label."""

from cry_modules.evaluation.confounds import main

if __name__ == "__main__":
    main()

"""Command line: compare the metrics of runs."""

from cry_modules.metrics.compare import main

if __name__ == "__main__":
    main()

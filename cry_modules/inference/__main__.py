"""Command line: score recordings with a trained model."""

from cry_modules.inference.scores import main

if __name__ == "__main__":
    main()

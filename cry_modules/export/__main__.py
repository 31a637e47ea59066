"""Command line: export a trained model."""

from cry_modules.export.command import main

if __name__ == "__main__":
    main()

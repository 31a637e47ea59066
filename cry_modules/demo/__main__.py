"""Command line: serve a demo page of a trained model."""

from cry_modules.demo.command import main

if __name__ == "__main__":
    main()

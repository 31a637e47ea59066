"""Command line: draw the views that SimCLR sees."""

from cry_modules.figures.views import main

if __name__ == "__main__":
    main()

"""Command line: write synthetic corpora."""

from data_prep.synthetic.corpora import main

if __name__ == "__main__":
    main()

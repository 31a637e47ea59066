"""Model parts that the yaml files build, and the packages that use them."""

# Explains a broken environment in one line, before torch is imported.
import data_prep

#: Saved in every checkpoint, to recognise those of other versions.
__version__ = "0.2.0"

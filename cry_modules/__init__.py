"""The parts that the recipes put together: encoder, losses, heads, metrics."""

# A broken environment is explained in one line: before torch is imported.
import data_prep

#: In every checkpoint, so that one of another version can say so.
__version__ = "0.2.0"

"""Self-supervised learning for infant cry analysis: the parts that recipes
put together, one concept a file.

Authors
 * The contributors of cry-ssl 2026
"""

#: In every checkpoint, so that one of another version can say so.
__version__ = "0.1.0"

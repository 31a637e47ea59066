"""Self-supervised learning for infant cry analysis: the parts that recipes
put together, one concept a file.

Authors
 * The contributors of cry-ssl 2026
"""

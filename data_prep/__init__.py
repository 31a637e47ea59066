"""From a corpus as it was published to manifests that training can trust.

Authors
 * The contributors of cry-ssl 2026
"""

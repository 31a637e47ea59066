"""From a corpus as it was published to manifests that training can trust."""

from data_prep.files.environment import install_hook

# Here, because every command imports this package before torch.
install_hook()

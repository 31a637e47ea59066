"""Memory that a forward pass keeps for backward."""

from torch.autograd.graph import saved_tensors_hooks


def saved_bytes(module, feats):
    """Bytes that autograd holds after a forward pass, weights left out."""
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(feats)
    assert out.requires_grad
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    return sum(size for at, size in sizes.items() if at not in weights)

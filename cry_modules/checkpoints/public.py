"""Published CNN14 encoders: what each hears, and where it is."""

from typing import NamedTuple, Optional


class PublicEncoder(NamedTuple):
    """``name``: a Hugging Face id, or the file's name; ``front_end``: what it
    was trained to hear; ``file``: to download; ``url``: from where.
    """

    name: str
    front_end: str
    file: str
    url: str

    def where(self) -> str:
        """The file and its place, in words."""
        return f"{self.file} from {self.url}"


def _on_the_hub(name, front_end):
    url = f"https://huggingface.co/{name}"
    return PublicEncoder(name, front_end, "embedding_model.ckpt", url)


#: PANNs at our rate; its other files hear 32 or 8 kHz.
PANNS = PublicEncoder(
    "Cnn14_16k_mAP=0.438.pth",
    "panns",
    "Cnn14_16k_mAP=0.438.pth",
    "https://zenodo.org/records/3987831",
)

PUBLIC_ENCODERS = (
    _on_the_hub("Ubenwa/sb-cssl-vgg-sclr", "fbank"),
    _on_the_hub("Ubenwa/sb-cssl-vgg-sup", "fbank"),
    _on_the_hub("speechbrain/cnn14-esc50", "log1p"),
    PANNS,
)


def public_encoder(name: str) -> Optional[PublicEncoder]:
    """The published encoder of a name.

    Example
    -------
    >>> public_encoder("speechbrain/cnn14-esc50").front_end
    'log1p'
    """
    found = {encoder.name: encoder for encoder in PUBLIC_ENCODERS}
    return found.get(name)

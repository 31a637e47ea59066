"""Published encoders: where they are, what is known of them, and files of the
Hugging Face hub."""

import re
from pathlib import Path
from typing import NamedTuple, Optional

from data_prep.files.errors import InputError


class PublicEncoder(NamedTuple):
    """A published encoder: ``name`` (a Hugging Face id or a file name), the
    ``front_end`` it was trained with, the ``file`` and the ``url``.
    """

    name: str
    front_end: str
    file: str
    url: str

    def where(self) -> str:
        """File and URL, for messages."""
        return f"{self.file} from {self.url}"


def _on_the_hub(name, front_end):
    url = f"https://huggingface.co/{name}"
    return PublicEncoder(name, front_end, "embedding_model.ckpt", url)


#: PANNs at 16 kHz; its other files are for 32 or 8 kHz.
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


class Facts(NamedTuple):
    """Facts of an encoder that others have trained.

    ``parameters``; ``hours`` of audio that it was trained on; the ``licence`` of
    its weights; ``seconds`` for a minute of audio on one core.
    """

    parameters: Optional[int]
    hours: str
    licence: str
    seconds: Optional[float]


_VGGSOUND = "550 (VGGSound)"
#: By the name that ``encoder_source`` or the study has for it.
FACTS = {
    "Ubenwa/sb-cssl-vgg-sclr": Facts(
        75_477_472, _VGGSOUND, "see its page", None
    ),
    "Ubenwa/sb-cssl-vgg-sup": Facts(
        75_477_472, _VGGSOUND, "see its page", None
    ),
    "speechbrain/cnn14-esc50": Facts(
        75_477_472, _VGGSOUND, "see its page", None
    ),
    PANNS.name: Facts(75_477_440, "5,800 (AudioSet)", "see its page", None),
    "speech_embedding": Facts(328_128, "thousands (speech)", "Apache-2.0", 1.2),
    "facebook/wav2vec2-base": Facts(
        94_370_944, "960 (read English)", "Apache-2.0", None
    ),
    "facebook/hubert-base-ls960": Facts(
        94_370_944, "960 (read English)", "Apache-2.0", None
    ),
    "microsoft/wavlm-base-plus": Facts(
        94_381_168, "94,000 (English)", "its page names none", None
    ),
    "openai/whisper-base": Facts(
        20_590_592, "680,000 (speech with transcripts)", "Apache-2.0", None
    ),
    "BEATs_iter3_plus_AS2M.pt": Facts(
        90_311_792, "5,800 (AudioSet)", "MIT", None
    ),
    "Ubenwa/sb-ecapa-vggsound-simclr": Facts(
        21_160_832, _VGGSOUND, "its page names none", None
    ),
}


def facts_of(source: str) -> Facts:
    """Facts of an encoder by its source; unknown ones say so."""
    unknown = Facts(None, "unknown", "unknown: ask its author", None)
    name = Path(source).name  # of a file, wherever it is
    return FACTS.get(name if name in FACTS else source, unknown)


def public_encoder(name: str) -> Optional[PublicEncoder]:
    """The published encoder of a name."""
    by_name = {encoder.name: encoder for encoder in PUBLIC_ENCODERS}
    return by_name.get(name)


def is_hub_id(source: str) -> bool:
    """Check whether a source that is not a local path may be a Hugging Face id."""
    is_id = re.fullmatch(r"[\w.-]+/[\w.-]+", source) is not None
    return is_id and not Path(source).parent.is_dir()


def download(
    repository: str, file: str, title: str, cure: str, **options
) -> Optional[Path]:
    """Download a file of a Hugging Face repository; None if it is not there.

    ``title`` names the repository in errors, ``cure`` says what to do instead;
    ``options`` are those of ``hf_hub_download``.
    """
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(hf_hub_download(repository, file, **options))
    except LocalEntryNotFoundError:  # no network
        raise InputError(
            f"{title} does not exist here, and the Hugging Face hub is "
            f"unreachable; correct the path, or {cure}"
        )
    except EntryNotFoundError:
        return None
    except (
        *(OSError, ValueError, httpx.HTTPError, httpx.InvalidURL),
        ImportError,  # a SOCKS proxy, which needs another package
    ) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{title} does not exist here and is unavailable from the Hugging "
            f"Face hub ({reason}); correct the path, or {cure}"
        )

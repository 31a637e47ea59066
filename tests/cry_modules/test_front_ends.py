"""Front ends: equal to SpeechBrain's recipe and PANNs' formulas, independent
of padding."""

import numpy as np
import pytest
import torch
from speechbrain.processing.features import STFT, Filterbank, spectral_magnitude

from cry_modules.audio import shortest_input
from cry_modules.cnn14 import Cnn14
from cry_modules.front_ends import (
    FRONT_ENDS,
    AugmentedFeatures,
    make_front_end,
    sentence_mean_norm,
)
from cry_modules.lengths import MIN_FRAMES
from cry_modules.views.chunks_and_masks import SpecAugment

NAMES = list(FRONT_ENDS)


def sounds(*n_samples):
    """Noise that grows louder, so that errors at borders show."""
    rng = np.random.default_rng(0)
    return [
        torch.tensor(rng.normal(0, 0.2, n) * (1 + np.arange(n) / n)).float()
        for n in n_samples
    ]


def padded(sigs):
    wavs = torch.nn.utils.rnn.pad_sequence(sigs, batch_first=True)
    return wavs, torch.tensor([len(sig) / wavs.shape[1] for sig in sigs])


@pytest.mark.parametrize(
    "name, n_mels, n_fft, hop, win, mean_norm",
    [
        ("fbank", 80, 400, 160, 400, True),
        ("log1p", 80, 1024, 186, 372, False),
        ("panns", 64, 512, 160, 512, False),
    ],
)
def test_settings_of_each_front_end(name, n_mels, n_fft, hop, win, mean_norm):
    front_end = make_front_end(name)
    assert front_end.name == name and front_end.sample_rate == 16000
    assert (front_end.n_mels, front_end.n_fft) == (n_mels, n_fft)
    assert (front_end.hop, front_end.win) == (hop, win)
    assert front_end.mean_norm is mean_norm
    assert not front_end.state_dict()


def test_log1p_equals_speechbrains_recipe():
    """recipes/ESC50/classification, step by step."""
    wavs = torch.stack(sounds(16000, 16000))
    stft = STFT(16000, win_length=23.2199, hop_length=11.6099, n_fft=1024)
    bank = Filterbank(80, n_fft=1024, sample_rate=16000, log_mel=False)
    expected = torch.log1p(bank(spectral_magnitude(stft(wavs), power=0.5)))
    feats, _ = make_front_end("log1p")(wavs)
    assert feats.shape == expected.shape
    torch.testing.assert_close(feats, expected, rtol=1e-5, atol=1e-6)


def slaney_filters():
    """Slaney's mel scale: 200/3 Hz a mel up to 1 kHz, then 27 mels for each
    6.4-fold frequency; triangles of area 1 over Hz."""

    def to_mel(hertz):
        if hertz < 1000:
            return hertz / (200 / 3)
        return 15 + np.log(hertz / 1000) / (np.log(6.4) / 27)

    def to_hertz(mel):
        if mel < 15:
            return mel * 200 / 3
        return 1000 * np.exp((mel - 15) * np.log(6.4) / 27)

    edges = [to_hertz(m) for m in np.linspace(to_mel(50), to_mel(8000), 66)]
    filters = np.zeros((257, 64))
    for band in range(64):
        low, centre, high = edges[band : band + 3]
        for k in range(257):
            hertz = k * 16000 / 512
            rise = (hertz - low) / (centre - low)
            fall = (high - hertz) / (high - centre)
            height = max(0.0, min(rise, fall))
            filters[k, band] = height * 2 / (high - low)
    return filters


def test_panns_equals_its_formulas():
    """Computed frame by frame, frequency by frequency, band by band."""
    (sig,) = sounds(3000)
    mirrored = np.pad(sig.double().numpy(), 256, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    filters = slaney_filters()
    expected = []
    for start in range(0, len(mirrored) - 511, 160):
        frame = mirrored[start : start + 512] * window
        power = np.abs(np.fft.fft(frame)[:257]) ** 2
        mel = [max(power @ filters[:, band], 1e-10) for band in range(64)]
        expected.append(10 * np.log10(mel))
    feats, _ = make_front_end("panns")(sig[None])
    assert feats.shape == (1, 1 + 3000 // 160, 64)
    np.testing.assert_allclose(feats[0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_frames_do_not_depend_on_the_batch(name):
    """Lengths around multiples of each hop, and the length of the batch."""
    front_end = make_front_end(name)
    sizes = [5766, 6000, 7999, 8000, 8001, 8183, 8184, 8185, 9001]
    sigs = sounds(*sizes, 9100)
    feats, lengths = front_end(*padded(sigs))
    for i, sig in enumerate(sigs):
        alone, _ = front_end(sig[None])
        n_frames = round(lengths[i].item() * feats.shape[1])
        assert n_frames == alone.shape[1] == 1 + len(sig) // front_end.hop
        torch.testing.assert_close(
            feats[i, :n_frames], alone[0], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", NAMES)
def test_sound_beyond_an_items_end_does_not_count(name):
    """A click at the end of silence is loudest in the window after it."""
    front_end = make_front_end(name)
    sig = torch.full((front_end.hop * 50 - 1,), 1e-6)
    sig[-1] = 1.0
    feats, lengths = front_end(*padded([sig, torch.zeros(20000)]))
    alone, _ = front_end(sig[None])
    assert round(lengths[0].item() * feats.shape[1]) == alone.shape[1] == 50
    torch.testing.assert_close(feats[:1, :50], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_input_has_just_enough_frames(name):
    front_end = make_front_end(name)
    shortest = shortest_input(front_end.hop)
    encoder = Cnn14(front_end.n_mels, width=1).eval()
    feats, _ = front_end(torch.zeros(1, shortest))
    assert feats.shape[1] == MIN_FRAMES
    assert encoder(feats).isfinite().all()
    with pytest.raises(ValueError, match="31 frames"):
        encoder(front_end(torch.zeros(1, shortest - 1))[0])


@pytest.mark.parametrize("name", NAMES)
def test_mean_normalisation_follows_the_front_end(name):
    front_end = make_front_end(name)
    features = AugmentedFeatures(front_end, SpecAugment(0, 0), False).eval()
    wavs, lengths = padded(sounds(8000, 12000))
    plain, n_frames = front_end(wavs, lengths)
    expected = plain
    if name == "fbank":
        expected = sentence_mean_norm(plain, n_frames)
    assert torch.equal(features(wavs, lengths)[0], expected)


@pytest.mark.parametrize("name", NAMES)
def test_masks_equal_the_mean_of_their_band(name):
    """Zero dB would be loud without mean normalisation."""
    front_end = make_front_end(name)
    augment = SpecAugment(time_warp=0, n_masks=1, mask_width=40)
    features = AugmentedFeatures(front_end, augment, False)
    wavs = torch.stack(sounds(8000, 8000))
    torch.manual_seed(1)
    augmented, _ = features.train()(wavs)
    torch.manual_seed(1)
    masked = augment(torch.ones_like(augmented)) == 0
    plain, _ = features.eval()(wavs)
    means = plain.mean(dim=1, keepdim=True).expand_as(plain)
    assert masked.any() and not masked.all()
    torch.testing.assert_close(augmented[masked], means[masked])
    torch.testing.assert_close(augmented[~masked], plain[~masked])

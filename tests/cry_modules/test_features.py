"""Log-mel: SpeechBrain's, and blind to padding."""

import torch
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import InputNormalization

from cry_modules.cnn14 import Cnn14
from cry_modules.front_ends import LogMel, sentence_mean_norm


def test_equals_speechbrains_fbank_and_sentence_norm():
    torch.manual_seed(0)
    wavs = torch.randn(2, 16000)
    feats, _ = LogMel()(wavs)
    expected = Fbank(sample_rate=16000, n_mels=80)(wavs)
    # dB of sums that float32 rounds in another order on some processors.
    torch.testing.assert_close(feats, expected, rtol=0, atol=1e-4)
    norm = InputNormalization(norm_type="sentence", std_norm=False)
    torch.testing.assert_close(
        sentence_mean_norm(feats), norm(expected, torch.ones(2))
    )


def test_an_item_has_the_frames_it_has_alone():
    logmel = LogMel()
    for n in (5000, 5119, 5120, 5121, 15999):
        wavs = torch.zeros(1, 16000)
        wavs[:, :n] = torch.randn(n)
        alone, _ = logmel(wavs[:, :n])
        padded, lengths = logmel(wavs, torch.tensor([n / 16000]))
        n_frames = round(float(lengths[0] * padded.shape[1]))
        assert n_frames == alone.shape[1]
        torch.testing.assert_close(padded[:, :n_frames], alone)


def test_padding_does_not_change_an_embedding_of_sound():
    torch.manual_seed(0)
    logmel, encoder = LogMel(), Cnn14(80, width=2).eval()
    sigs = [torch.randn(n) for n in (6000, 9999, 16000)]
    wavs = torch.nn.utils.rnn.pad_sequence(sigs, batch_first=True)
    lengths = torch.tensor([len(s) / 16000 for s in sigs])

    def embed(wavs, lengths=None):
        feats, lengths = logmel(wavs, lengths)
        return encoder(sentence_mean_norm(feats, lengths), lengths)

    for sig, emb in zip(sigs, embed(wavs, lengths)):
        torch.testing.assert_close(
            embed(sig[None])[0], emb, rtol=1e-4, atol=1e-4
        )


def test_level_is_removed():
    wavs = torch.randn(1, 8000) * 0.1
    quiet, loud = (
        sentence_mean_norm(LogMel()(gain * wavs)[0]) for gain in (1, 5)
    )
    torch.testing.assert_close(quiet, loud, rtol=0, atol=1e-3)

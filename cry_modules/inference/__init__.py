"""Classification of recordings with a trained model."""

from cry_modules.inference.classifier import CryClassifier

"""Classification of recordings with a trained model."""


def __getattr__(name: str):
    """Import ``CryClassifier`` when it is asked for: torch takes seconds."""
    if name != "CryClassifier":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from cry_modules.inference.classifier import CryClassifier

    return CryClassifier

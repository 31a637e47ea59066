"""Export of a trained model to a folder, a model card and ONNX."""

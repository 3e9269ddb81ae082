"""A package used on people's own images: predictor, inputs, outputs, annotation, ONNX, demo."""

"""What holds for any network: layers, weights, devices, logits, prediction for a whole pool, distributed processes."""

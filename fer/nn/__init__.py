"""Networks in general: layers, weights, devices, logits, prediction for a pool of any size, several processes."""

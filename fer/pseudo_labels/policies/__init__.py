"""One file for each policy: the parameters of its row in `params.yaml`, its thresholds and its weights."""

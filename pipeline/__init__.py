"""The stages of `dvc.yaml`, a script each."""

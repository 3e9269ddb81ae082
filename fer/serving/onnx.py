"""Export of a package as one ONNX graph, from grey faces to the probabilities of `fer predict`."""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fer.core.files import atomic_write
from fer.nn import inference
from fer.nn.weights import normalize_faces
from fer.runtime.errors import InputError
from fer.serving.package.bundle import ModelPackage

OPSET = 18  # the target of torch's exporter, with the antialiased Resize that transfer networks need
ONNX_TOLERANCE = 1e-4  # of logits, relative to the largest logit if that is above 1
OUTPUT_NAMES = ("probabilities", "logits")


class ExportedPackage(nn.Module):
    """The packaged networks with their preprocessing, views, calibration, ensemble mean and correction to the prior."""

    temperature: Tensor
    weight: Tensor
    prior_factors: Tensor | None

    def __init__(self, package: ModelPackage) -> None:
        super().__init__()
        manifest = package.manifest
        self.views = manifest.views
        self.networks = nn.ModuleList(package.networks.values())
        weights = torch.tensor([manifest.vote[name] for name in package.networks])
        temperatures = torch.tensor([manifest.temperatures[name] for name in package.networks])
        self.register_buffer("weight", (weights / weights.sum())[:, None])
        self.register_buffer("temperature", temperatures[:, None, None])
        factors = manifest.prior_factors
        self.register_buffer("prior_factors", torch.tensor(list(factors.values())) if factors else None)

    def forward(
        self, faces: UInt8[Tensor, "n size size"]
    ) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n networks views classes"]]:
        """Return the calibrated probabilities, averaged over views and networks and corrected, and the logits."""
        views = [normalize_faces(view) for view in inference.make_views(faces.float() / 255, self.views).values()]
        logits = torch.stack(
            [torch.stack([network(view) for view in views], dim=1) for network in self.networks], dim=1
        )
        probs = (logits / self.temperature).softmax(dim=3).mean(dim=2)
        ensemble_probs = (probs * self.weight).sum(dim=1)
        if self.prior_factors is not None:
            scaled = ensemble_probs * self.prior_factors
            ensemble_probs = scaled / scaled.sum(dim=1, keepdim=True)
        return ensemble_probs, logits


def export_onnx(package: ModelPackage, path: Path) -> float | None:
    """Write a package on the CPU as an ONNX file with the manifest as metadata, each value as JSON.

    The input is `faces`, uint8 (n, size, size) for any n. The outputs are `probabilities` (n, classes) and `logits`
    (n, networks, views, classes) before temperature scaling. The graph computes in fp32, whatever the package's
    precision.

    Returns:
        The largest difference of the logits of ONNX Runtime and torch, or None if ONNX Runtime is not installed.

    Raises:
        InputError: The exporter's packages are not installed, `path` is a folder, or the logits differ.
    """
    try:
        import onnxscript  # noqa: F401  without it torch fails with a long message
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; run pip install '.[export]'") from error
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file, such as {path / 'model.onnx'}")
    size = package.manifest.size
    with warnings.catch_warnings(action="ignore"):  # torch warns about its own code
        program = torch.onnx.export(
            ExportedPackage(package).eval(),
            (torch.zeros(2, size, size, dtype=torch.uint8),),
            input_names=["faces"],
            output_names=OUTPUT_NAMES,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # torch returns None only if it writes a file itself
    ClearMetadataAndDocStringPass()(program.model)  # removes stack traces, which contain paths of this machine
    program.model.producer_name = "fer"
    program.model.metadata_props.update(
        {key: json.dumps(value) for key, value in package.manifest.model_dump(mode="json", exclude_none=True).items()}
    )
    with atomic_write(path) as part:
        program.save(part)
        return compare_logits(package, part)


def compare_logits(package: ModelPackage, path: Path) -> float | None:
    """Return the largest difference of torch's and ONNX Runtime's logits on random faces, or None without the latter.

    Raises:
        InputError: The difference is above `ONNX_TOLERANCE`.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    manifest = package.manifest
    faces = np.random.default_rng(0).integers(0, 256, (3, manifest.size, manifest.size), dtype=np.uint8)
    torch_logits = np.stack(
        [
            inference.predict_logits(network, faces, views=manifest.views, batch=len(faces), precision="fp32")
            for network in package.networks.values()
        ],
        axis=1,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (onnx_logits,) = session.run(["logits"], {"faces": faces})
    difference = float(np.abs(torch_logits - onnx_logits).max())
    if not difference <= ONNX_TOLERANCE * max(1.0, float(np.abs(torch_logits).max())):
        raise InputError(
            f"ONNX Runtime {onnxruntime.__version__}: logits differ by {difference:.2g} from torch's, so nothing was "
            "written; try other versions of onnxscript and onnxruntime"
        )
    return difference

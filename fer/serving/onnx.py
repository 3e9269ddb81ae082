"""A package as one ONNX graph: from the grey faces to the probabilities of `fer predict`, for other programs to run."""

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

OPSET = 18  # what torch's exporter is written for; it has the antialiased Resize that transfer networks need
ONNX_TOLERANCE = 1e-4  # of logits, relative to the largest where that is above 1
OUTPUT_NAMES = ("probabilities", "logits")


class ExportedPackage(nn.Module):
    """What is exported: the packaged networks with all that comes before and after them."""

    temperature: Tensor
    weight: Tensor

    def __init__(self, package: ModelPackage) -> None:
        super().__init__()
        about = package.manifest
        self.views = about.views
        self.networks = nn.ModuleList(package.networks.values())
        votes = torch.tensor([about.vote[name] for name in package.networks])
        self.register_buffer("weight", (votes / votes.sum())[:, None])
        self.register_buffer(
            "temperature", torch.tensor([about.temperatures[name] for name in package.networks])[:, None, None]
        )

    def forward(
        self, faces: UInt8[Tensor, "n size size"]
    ) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n networks views classes"]]:
        """Calibrated probabilities, voted and averaged over the views, and the logits that they are made of."""
        shown = [normalize_faces(view) for view in inference.make_views(faces.float() / 255, self.views).values()]
        logits = torch.stack(
            [torch.stack([network(view) for view in shown], dim=1) for network in self.networks], dim=1
        )
        probs = (logits / self.temperature).softmax(dim=3).mean(dim=2)
        return (probs * self.weight).sum(dim=1), logits


def export_onnx(package: ModelPackage, path: Path) -> float | None:
    """Write the package, which is on the CPU, as ONNX; what `package.json` says is in the metadata, each value as JSON.

    Input `faces`, uint8 (n, size, size) for any n; outputs `probabilities` (n, classes) and, before temperature, views
    and vote, `logits` (n, networks, views, classes). It computes in fp32 whatever the package's precision is.

    Returns by how much ONNX Runtime's logits differ from torch's, None where it is not installed.

    Raises:
        InputError: the exporter's packages are not installed, `path` is a folder, or the logits differ.
    """
    try:
        import onnxscript  # noqa: F401  torch says in many lines that it needs it
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ImportError as error:
        raise InputError(f"{error.name} is not installed, and export needs it; pip install '.[export]'") from error
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file to write, such as {path / 'model.onnx'}")
    size = package.manifest.size
    with warnings.catch_warnings(action="ignore"):  # of torch's own, about its own
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
    assert program is not None  # a file's name was not given
    ClearMetadataAndDocStringPass()(program.model)  # it has stack traces, and with them the paths of this machine
    program.model.producer_name = "fer"
    program.model.metadata_props.update(
        {key: json.dumps(value) for key, value in package.manifest.model_dump(mode="json").items()}
    )
    with atomic_write(path) as part:
        program.save(part)
        return compare_logits(package, part)


def compare_logits(package: ModelPackage, path: Path) -> float | None:
    """The largest difference between the logits that torch and ONNX Runtime, where installed, compute of random faces.

    Raises:
        InputError: it is above `TOLERANCE`.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    about = package.manifest
    faces = np.random.default_rng(0).integers(0, 256, (3, about.size, about.size), dtype=np.uint8)
    ours = np.stack(
        [
            inference.predict_logits(network, faces, views=about.views, batch=len(faces), precision="fp32")
            for network in package.networks.values()
        ],
        axis=1,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["logits"], {"faces": faces})
    difference = float(np.abs(ours - theirs).max())
    if not difference <= ONNX_TOLERANCE * max(1.0, float(np.abs(ours).max())):
        raise InputError(
            f"ONNX Runtime {onnxruntime.__version__} computes logits that differ by {difference:.2g} from torch's; "
            "nothing was written; try other versions of onnxscript and onnxruntime"
        )
    return difference

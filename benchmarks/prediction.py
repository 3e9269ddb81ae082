"""Prediction over stored faces: ours against an ordinary loop over a DataLoader.

    python -m benchmarks.prediction [--faces 2048] [--network improved_se] [--repeats 5] [--out benchmarks/results]

The ordinary loop opens each face as a PIL picture in worker processes, normalises it, and calls the same network in
fp32. The logits of both are compared first. Its workers are started before the clock.
"""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import measuring
from fer import models, params
from fer.inference import device, logits
from fer.models import DEVIATION, MEAN
from fer.processes import available_cores

SIZE = 48
CLOSE = 1e-3  # of logits in fp32
to_input = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([MEAN], [DEVIATION])])


class Pictures(Dataset[torch.Tensor]):
    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> torch.Tensor:
        return to_input(Image.fromarray(self.pixels[row]))


def main() -> None:
    parser = measuring.arguments(__doc__, "prediction")
    parser.add_argument("--faces", type=int, default=2048)
    parser.add_argument("--network", default="improved_se")
    args = parser.parse_args()
    chosen, where = params.load(), device()
    pixels = np.random.default_rng(0).integers(0, 256, (args.faces, SIZE, SIZE), dtype=np.uint8)
    facts = models.Facts(network=args.network, emotions=tuple(chosen.emotions), size=SIZE, dropout=0.2, input_px=None)
    torch.manual_seed(0)
    network = models.build(facts).to(where).eval()
    loader = DataLoader(Pictures(pixels), chosen.predict.batch, num_workers=available_cores(), persistent_workers=True)

    @torch.no_grad()
    def ordinary() -> torch.Tensor:
        return torch.cat([network(batch.to(where)).cpu() for batch in loader])

    def ours(precision: str) -> np.ndarray:
        return logits(network, pixels, views=["plain"], batch=chosen.predict.batch, precision=precision)[:, 0]

    apart = float(np.abs(ordinary().numpy() - ours("fp32")).max())
    if apart > CLOSE:
        raise SystemExit(f"error: the logits differ by {apart}")
    found = measuring.rates(
        {
            "DataLoader, fp32": lambda: len(ordinary()),
            "ours, fp32": lambda: len(ours("fp32")),
            "ours, bf16": lambda: len(ours("bf16")),
        },
        args.repeats,
    )
    about = {"claim": f"Prediction, {args.network}, 48 x 48 pixels", "faces": args.faces, "logits_apart": apart}
    about |= {"batch": chosen.predict.batch, "parameters": models.parameter_counts(network)[0]}
    rows = measuring.compared(found, "DataLoader, fp32")
    measuring.tell(args.out, "prediction", about, {f"{torch.get_num_threads()} threads": rows})


if __name__ == "__main__":
    main()

"""A step can be recorded and compiled, and the EMA model is that of torch."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import OPTIMIZERS, RECIPE, TRANSFORMS, are_equal, make_faces, small_network, train
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils._python_dispatch import TorchDispatchMode

from fer.nn import recording
from fer.training import step as step_module
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.params import Online
from fer.training.step import SEED_STRIDE, TrainingStep, replica_seed

POOL = UnlabelledPool(
    make_faces(64, 5).pixels,
    Online(policy="freematch", threshold=0.5, share=0.5, alignment="valid"),
    "hard",
    3,
    np.array([0.5, 0.3, 0.2]),
)


class ForbidHostValues(TorchDispatchMode):
    """Fails if a value of a tensor is asked for, or a tensor is made from a value of the host."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "lift_fresh", "nonzero", "is_nonzero"), name
        return function(*args, **(kwargs or {}))


def make_step(pool: UnlabelledPool | None = POOL, logit_adjustment: float = 0.0, **changes: Any) -> TrainingStep:
    recipe = RECIPE.model_copy(update={"mixup": 0.4} | changes)
    options = {"recipe": recipe, "transforms": TRANSFORMS, "seed": 0, "precision": "fp32"}
    options["logit_adjustment"] = logit_adjustment
    return TrainingStep(small_network(), make_faces(96, 0), pool, **options)


@pytest.mark.parametrize("policy", ["fixmatch", "freematch", "softmatch"])
def test_a_step_has_no_values_from_the_host(policy: str) -> None:
    online_params = POOL.online_params.model_copy(update={"policy": policy})
    step = make_step(UnlabelledPool(POOL.pixels, online_params, "hard", 3, POOL.target_prior), logit_adjustment=1.0)
    step.start_epoch(0, 2)
    step.take(0)  # allocates the state of the optimiser
    with ForbidHostValues():
        step._compute()
    with pytest.raises(AssertionError, match="_local_scalar_dense"), ForbidHostValues():
        step.totals[0].item()


def test_the_network_is_in_training_mode_and_the_teacher_is_not() -> None:
    step = make_step()
    step.start_epoch(0, 1)
    step.take(0)
    assert step.network.training
    assert not step.ema_model.training


def test_all_that_a_checkpoint_loads_keeps_its_address() -> None:
    step, saved = make_step(), make_step()
    saved.start_epoch(0, 3)
    for number in range(3):
        saved.take(number)
    tensors = [*step._values, *step._averages, *step.labeller.tracker.buffers()]
    addresses = [tensor.data_ptr() for tensor in tensors]
    for name, part in step.parts.items():
        part.load_state_dict(deepcopy(saved.parts[name].state_dict()))
    assert [tensor.data_ptr() for tensor in tensors] == addresses
    for tensor, expected in zip(
        tensors, [*saved._values, *saved._averages, *saved.labeller.tracker.buffers()], strict=True
    ):
        assert torch.equal(tensor, expected)


def test_a_compiled_network_is_trained_like_an_eager_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Network and transforms are captured as graphs and run without a code generator."""
    eager, eager_curve = train(dropout=0.0)
    compile_with_inductor, compiled_functions = torch.compile, []

    def compile_without_code_generator(function: Any, **options: Any) -> Any:
        compiled_functions.append(function)
        return compile_with_inductor(function, dynamic=False, backend="aot_eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", compile_without_code_generator)
    monkeypatch.setattr(step_module, "fuse", lambda function, device, *args: recording.try_to_compile(function, *args))
    compiled, curve = train(dropout=0.0)
    assert len(compiled_functions) == 2
    assert curve[-1] == pytest.approx(eager_curve[-1], rel=1e-4)
    for name, weights in compiled.items():
        torch.testing.assert_close(weights, eager[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("adjustment", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_the_gradient_of_two_classes_is_that_of_adjusted_logits(adjustment: float, bias: float) -> None:
    """With weights of 0 the logits are the biases, and the gradient of the first is σ(z₁ − z₂ + τ log(π₁/π₂)) − π₁."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 2))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.copy_(torch.tensor([bias, 0.0]))
    prior = np.array([0.75, 0.25])
    weights = np.array([1, 2, 1], dtype=np.float32)  # a face of weight 2 counts as two
    faces = LabelledSet(np.zeros((3, 16, 16), np.uint8), np.eye(2, dtype=np.float32)[[0, 0, 1]], weights)
    recipe = RECIPE.model_copy(
        update={"optimizer": OPTIMIZERS["sgd without momentum"], "batch": 3, "label_smoothing": 0.0}
    )
    step = TrainingStep(
        network,
        faces,
        None,
        recipe=recipe,
        transforms=TRANSFORMS,
        seed=0,
        precision="fp32",
        logit_adjustment=adjustment,
    )
    step.start_epoch(0, 1)
    step.take(0)
    probability = 1 / (1 + np.exp(-(bias + adjustment * np.log(prior[0] / prior[1]))))
    gradient = 4 / 3 * (probability - prior[0])  # the mean over three faces, whose weights sum to four
    expected = [bias - recipe.optimizer.lr * gradient, recipe.optimizer.lr * gradient]
    np.testing.assert_allclose(network[1].bias.detach(), expected, atol=1e-7)


def test_the_ema_weights_equal_those_of_torch() -> None:
    step = make_step(None, ema=0.9)
    reference = AveragedModel(small_network(), multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    step.start_epoch(0, 5)
    for number in range(5):
        step.take(number)
        reference.update_parameters(step.network)
    expected = reference.module.state_dict()
    assert are_equal(
        step.ema_model.state_dict() | {"1.num_batches_tracked": expected["1.num_batches_tracked"]}, expected
    )
    assert not torch.equal(step.ema_model[1].running_var, step.network[1].running_var)


def test_replica_0_has_the_seed_itself() -> None:
    assert [replica_seed(seed, 0) for seed in (0, 7, 2**32 - 1)] == [0, 7, 2**32 - 1]


def test_no_two_replicas_share_a_number_of_the_generators() -> None:
    """torch's generator of a CPU takes the low 32 bits of a seed."""
    seeds = [replica_seed(seed, replica) for seed in range(16) for replica in range(20)]
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)
    first_steps = sorted(seed * SEED_STRIDE % 2**32 for seed in seeds)
    gaps = np.diff([*first_steps, first_steps[0] + 2**32])
    assert gaps.min() >= SEED_STRIDE
    assert replica_seed(2**32 - 1, 999) * SEED_STRIDE * 256 < 2**64, "torch takes no larger seed, on 256 processes"


def test_replicas_draw_other_numbers_on_a_cpu() -> None:
    draws = []
    for replica in range(3):
        torch.manual_seed(replica_seed(0, replica))
        draws.append(torch.rand(4))
    assert not any(torch.equal(draws[first], draws[second]) for first, second in ((0, 1), (0, 2), (1, 2)))

"""The simulated accelerator: right code computes on it what it computes on the CPU, and mixing devices raises."""

import copy
import io
import math
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils import backend_registration
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from autograder.worker import simgpu

# At import, because autograd learns of devices at the first backward, and other tests run one.
if not simgpu.register():
    pytest.skip(simgpu.unavailable_reason(), allow_module_level=True)

HERE = torch.device("simgpu:0")


def labels(x):
    return torch.tensor([0, 2, 1], device=x.device)


def in_place(x):
    y = x.clone()
    y[:, 0] = 0
    y[1] *= 2
    y.mul_(3).t_()
    return y.unsqueeze_(0)[0] + y.view(4, 3)


def filled(x):
    y = x.clone()
    y[0].fill_(torch.tensor(2.0))
    y[:, 1] = torch.tensor(3.0)
    y[labels(x) > 1] = torch.tensor(4.0)
    return y.index_fill(0, labels(x)[:1], torch.tensor(5.0)).masked_fill(y < 0, torch.tensor(6.0))


def with_out(x):
    out = torch.empty(0, device=x.device)
    torch.add(x.detach(), 1, out=out)
    return out * x


OPERATIONS = {
    "matmul": lambda x: x @ x.T,
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
    "bmm": lambda x: torch.bmm(x.view(2, 2, 3), x.view(2, 3, 2)),
    "baddbmm": lambda x: torch.baddbmm(x.new_zeros(2, 2, 2), x.view(2, 2, 3), x.view(2, 3, 2), alpha=0.5),
    "softmax": lambda x: x.softmax(-1) * F.log_softmax(x, dim=0),
    "layer_norm": lambda x: F.layer_norm(x, (4,), torch.full((4,), 2.0, device=x.device)),
    "variance": lambda x: (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, unbiased=False).sqrt(),
    "embedding": lambda x: F.embedding(labels(x)[None], x),
    "cross_entropy": lambda x: F.cross_entropy(x, labels(x), label_smoothing=0.1),
    "one_hot": lambda x: x * F.one_hot(labels(x), 4),
    "triangle": lambda x: x.masked_fill(torch.ones(3, 4, device=x.device).tril() == 0, float("-inf")).softmax(-1),
    "where": lambda x: torch.where(x > 0, x, torch.tensor(-1.0)),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True),
    "boolean index": lambda x: x[x > 0],
    "indices on the CPU": lambda x: x[torch.tensor([2, 0]), torch.tensor([1, 3])],
    "gather": lambda x: x.gather(1, labels(x)[:, None]),
    "scatter": lambda x: torch.zeros_like(x).scatter_add(1, labels(x)[:, None].expand(3, 4), x),
    "cat and stack": lambda x: torch.cat([x, torch.stack([x[0], x[1]])]).cumsum(0),
    "views": lambda x: x.view(2, 6).transpose(0, 1).contiguous().view(-1, 3).permute(1, 0).reshape(6, 2),
    "in place": in_place,
    "filling": filled,
    "out=": with_out,
    "scalar from the CPU": lambda x: x / torch.sqrt(torch.tensor(4)) * torch.tensor(2.0),
    "reductions": lambda x: x.max(-1).values + x.topk(2).values.sum(-1) + x.norm(dim=-1),
    "arange": lambda x: x * torch.arange(4, device=x.device) + torch.linspace(0, 1, 4, device=x.device),
    "sines": lambda x: x + torch.exp(torch.arange(0, 4, device=x.device).float() * (-math.log(1e4) / 4)).sin(),
    "dropout": lambda x: F.dropout(x, 0.5),
    "random numbers": lambda x: x * torch.rand_like(x) + torch.randn(4, device=x.device),
    "permutation": lambda x: x[torch.randperm(3, device=x.device)],
    "attention layer": lambda x: nn.MultiheadAttention(4, 2).to(x.device)(x, x, x)[0],
    "encoder layer": lambda x: nn.TransformerEncoderLayer(4, 2, 8).to(x.device)(x),
    "autocast": lambda x: torch.autocast("simgpu", dtype=torch.float16)(F.linear)(x, x * torch.ones_like(x).normal_()),
    "checkpoint": lambda x: checkpoint(F.dropout, x, use_reentrant=False),
    "running sum": lambda x: torch.zeros((), device=x.device) + sum(x.detach()) + x,
}


def value_and_gradient(operation, device, mode):
    torch.manual_seed(3)
    x = torch.randn(3, 4).to(device).requires_grad_(mode == "gradients")
    torch.manual_seed(4)
    with torch.inference_mode(mode == "inference mode"):
        value = operation(x)
    assert value.device == x.device
    if mode != "gradients":
        return [value.cpu()]
    value.pow(2).sum().backward()
    assert x.grad.device == x.device
    return [value.detach().cpu(), x.grad.cpu()]


@pytest.mark.parametrize("mode", ["gradients", "inference mode"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_computes_what_the_cpu_computes(name, mode):
    """Values, random ones too, and gradients are the CPU's, and stay on the device."""
    found = value_and_gradient(OPERATIONS[name], HERE, mode)
    expected = value_and_gradient(OPERATIONS[name], "cpu", mode)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def there(*shape):
    return torch.randn(*shape, device=HERE)


MIXES = {
    "addition": lambda: there(2, 3) + torch.ones(2, 3),
    "CPU first": lambda: torch.ones(3) * there(3),
    "CPU vector and scalar": lambda: torch.ones(3) * there(3).sum(),
    "sum kept on the CPU": lambda: torch.tensor(0.0).add_(there(3).sum()),
    "matmul": lambda: there(2, 3) @ torch.ones(3, 2),
    "matmul in inference mode": lambda: torch.inference_mode()(lambda: there(2, 3) @ torch.ones(3, 2))(),
    "mask": lambda: there(2, 3).masked_fill(torch.ones(2, 3) == 0, -1e9),
    "mask without dimensions": lambda: there(2, 3).masked_fill(torch.tensor(True), -1e9),
    "condition": lambda: torch.where(torch.ones(3) > 0, there(3), 0.0),
    "labels": lambda: F.cross_entropy(there(2, 3), torch.tensor([0, 1])),
    "class weights": lambda: F.cross_entropy(there(2, 3), torch.tensor([0, 1], device=HERE), weight=torch.ones(3)),
    "token ids": lambda: nn.Embedding(5, 3).to(HERE)(torch.tensor([1, 2])),
    "layer left behind": lambda: nn.Linear(3, 2)(there(2, 3)),
    "input left behind": lambda: nn.Linear(3, 2).to(HERE)(torch.ones(2, 3)),
    "norm": lambda: F.layer_norm(there(2, 3), (3,), torch.ones(3)),
    "cat": lambda: torch.cat([there(2), torch.ones(2)]),
    "stack of scalars": lambda: torch.stack([there(2).sum(), torch.tensor(1.0)]),
    "comparison": lambda: there(2, 3).argmax(-1) == torch.tensor([0, 1]),
    "torch.equal": lambda: torch.equal(there(2), torch.ones(2)),
    "gather": lambda: there(2, 3).gather(1, torch.tensor([[0], [1]])),
    "indices on the device": lambda: torch.ones(3)[torch.tensor([0], device=HERE)],
    "assigned values": lambda: there(3).index_put_((torch.tensor([0]),), torch.ones(1)),
    "out=": lambda: torch.add(there(2), there(2), out=torch.empty(2)),
    "attention": lambda: F.scaled_dot_product_attention(there(1, 2, 3), torch.ones(1, 2, 3), there(1, 2, 3)),
    "gradient": lambda: setattr(nn.Parameter(there(3)), "grad", torch.ones(3)),
}


@pytest.mark.parametrize("name", MIXES)
def test_mixing_devices_raises(name):
    """Tensors of two devices in one operation raise RuntimeError, as with CUDA."""
    with pytest.raises(RuntimeError, match="device"):
        MIXES[name]()


@pytest.mark.parametrize("use", [lambda t: t.numpy(), np.array, np.asarray, lambda t: np.mean([t.sum(), t.sum()])])
def test_numpy_needs_cpu_first(use):
    """numpy refuses a tensor on the device with TypeError, as with CUDA; .cpu() helps."""
    with pytest.raises(TypeError, match=r"Tensor\.cpu\(\)"):
        use(there(3))
    use(there(3).cpu())


def test_cuda_stays_missing():
    """Code that names CUDA fails as on any machine without it."""
    with pytest.raises((AssertionError, RuntimeError)):
        there(3).cuda()
    assert not there(3).is_cuda and torch.device("cuda").type == "cuda"


def test_moves():
    """A tensor goes there and back, dtype and values kept, by each of the usual calls."""
    x = torch.randn(2, 3)
    y = x.to("simgpu")
    assert y.device == HERE and y.is_simgpu and y.device.type == "simgpu" and isinstance(y, torch.Tensor)
    assert y.to(HERE) is y
    for moved in (x.to(HERE, non_blocking=True), x.to(y), torch.tensor(x.tolist(), device=HERE), torch.empty_like(y)):
        assert moved.device == HERE and moved.dtype == x.dtype
    for back in (y.cpu(), y.to("cpu"), y.to(x), torch.empty(2, 3).copy_(y)):
        assert type(back) is torch.Tensor and back.equal(x)
    with torch.inference_mode():
        assert y.add_(1) is y and y.sub_(1) is y and type(torch.empty(2, 3).copy_(y)) is torch.Tensor
    assert (y.t().stride(), y[1:].storage_offset()) == (x.t().stride(), 3)
    assert torch.zeros_like(y, device="cpu").device.type == "cpu"
    assert there(2).copy_(x[0, :2]).tolist() == x[0, :2].tolist()


def test_numbers_come_out():
    """item, float, bool, tolist and formatting give Python values; a tensor prints with its device."""
    loss = torch.tensor(2.5, device=HERE)
    assert (loss.item(), float(loss), bool(loss > 2), math.sqrt(loss * 10)) == (2.5, 2.5, True, 5.0)
    assert f"{loss:.4f}" == "2.5000" and f"{loss}" == "2.5"
    assert torch.arange(3, device=HERE).tolist() == [0, 1, 2] and [int(i) for i in torch.arange(3, device=HERE)][2] == 2
    assert repr(loss) == "tensor(2.5000, device='simgpu:0')"
    assert repr(nn.Parameter(loss)) == "Parameter containing:\ntensor(2.5000, device='simgpu:0', requires_grad=True)"


def train(model, make_optimizer, device, scheduler=None, clip=None, evaluation=torch.no_grad):
    """Two epochs of a usual loop over `model` on `device`; give losses and final parameters."""
    model.to(device)
    where = next(model.parameters()).device
    torch.manual_seed(7)
    rows = TensorDataset(torch.randint(0, 9, (22, 5)), torch.randint(0, 3, (22,)))
    optimizer, losses = make_optimizer(model.parameters()), []
    schedule = scheduler and scheduler(optimizer)
    for ids, targets in [batch for _ in range(2) for batch in DataLoader(rows, batch_size=8, shuffle=True)]:
        model.train()
        loss = F.cross_entropy(model(ids.to(where)), targets.to(where, non_blocking=True))
        optimizer.zero_grad()
        loss.backward()
        if clip:
            clip(model.parameters())
        optimizer.step()
        model.eval()
        with evaluation():
            again = F.cross_entropy(model(ids.to(where)), targets.to(where))
        if schedule:
            schedule.step(*([again] if isinstance(schedule, optim.lr_scheduler.ReduceLROnPlateau) else []))
        losses += [loss.item(), float(f"{again:.6f}")]
        best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    assert {p.device for p in model.parameters()} == {where}
    return losses, torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


LOOPS = {
    "Adam": {"make_optimizer": lambda p: optim.Adam(p, lr=0.01)},
    "Adam foreach": {"make_optimizer": lambda p: optim.Adam(p, lr=0.01, foreach=True)},
    "AdamW": {"make_optimizer": lambda p: optim.AdamW(p, lr=0.01), "evaluation": torch.inference_mode},
    "AdamW fused": {"make_optimizer": lambda p: optim.AdamW(p, lr=0.01, fused=True)},
    "NAdam": {"make_optimizer": lambda p: optim.NAdam(p, lr=0.01)},
    "RAdam": {"make_optimizer": lambda p: optim.RAdam(p, lr=0.01)},
    "Adamax": {"make_optimizer": lambda p: optim.Adamax(p, lr=0.01)},
    "SGD": {"make_optimizer": lambda p: optim.SGD(p, lr=0.1, momentum=0.9)},
    "one cycle": {
        "make_optimizer": lambda p: optim.AdamW(p, lr=0.01),
        "scheduler": lambda o: optim.lr_scheduler.OneCycleLR(o, max_lr=0.01, total_steps=6),
    },
    "warm-up": {
        "make_optimizer": lambda p: optim.Adam(p, lr=0.01),
        "scheduler": lambda o: optim.lr_scheduler.LambdaLR(o, lambda step: min(1, (step + 1) / 4)),
    },
    "plateau": {
        "make_optimizer": lambda p: optim.Adam(p, lr=0.01),
        "scheduler": lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
    },
    "clipping": {
        "make_optimizer": lambda p: optim.Adam(p, lr=0.01),
        "clip": lambda p: nn.utils.clip_grad_norm_(p, 0.1),
    },
    "clipping foreach": {
        "make_optimizer": lambda p: optim.Adam(p, lr=0.01),
        "clip": lambda p: nn.utils.clip_grad_norm_(p, 0.1, foreach=True),
    },
}


@pytest.mark.parametrize("name", LOOPS)
def test_training_is_that_of_the_cpu(name):
    """Every optimizer of the Adam family, schedules and clipping give the CPU's losses and parameters."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.LayerNorm(20), nn.Dropout(0.2), nn.Linear(20, 3))
    losses, parameters = train(copy.deepcopy(model), device=HERE, **LOOPS[name])
    expected_losses, expected_parameters = train(model, device="cpu", **LOOPS[name])
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected_losses), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parameters, expected_parameters, atol=1e-5, rtol=1e-5)


def test_modules_copy_and_save():
    """deepcopy, state_dict, save and load, and .data keep values, devices and parameters apart."""
    model = nn.Linear(3, 2).to(HERE)
    twin = copy.deepcopy(model)
    twin.weight.data.zero_()
    twin.bias.data = twin.bias.data * 0 + 1
    assert twin(there(1, 3)).tolist() == [[1, 1]] and model.weight.abs().sum() > 0
    assert isinstance(twin.weight, nn.Parameter) and twin.weight.is_leaf and twin.weight.requires_grad
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file)
    assert loaded["weight"].device == HERE
    twin.load_state_dict(loaded)
    assert twin.weight.equal(model.weight)
    assert safetensors.torch.load(safetensors.torch.save(model.state_dict()))["weight"].equal(model.weight.cpu())
    assert type(model.cpu().weight) is nn.Parameter


def test_place_keeps_parameters_the_same_objects():
    """As in a move to CUDA, whoever holds a parameter still holds the model's afterwards."""
    layer = nn.Linear(3, 2)
    layer.again, held = layer.weight, layer.weight
    torch.simgpu.place(layer)
    assert layer.weight is held and layer.again is held and held.device == HERE
    layer(there(1, 3)).sum().backward()
    assert held.grad.device == HERE
    assert not torch.__future__.get_swap_module_params_on_conversion()


def test_place_moves_what_cannot_be_swapped():
    """A parameter with a weak reference to it is moved all the same."""
    layer = nn.Linear(3, 2)
    reference = weakref.ref(layer.weight)
    torch.simgpu.place(layer)
    assert reference() is not layer.weight
    assert layer.weight.device == HERE


def test_accelerator_is_reported_only_while_shown():
    """torch.accelerator knows of the device inside shown(), and of none before and after."""

    def reported():
        backend = torch.accelerator
        found = backend.is_available(), backend.current_accelerator(), backend.device_count()
        return found, torch.simgpu.is_available()

    nothing = (False, None, 0), False
    assert reported() == nothing
    with torch.simgpu.shown():
        assert reported() == ((True, torch.device("simgpu"), 1), True)
        torch.accelerator.synchronize()
        generator = torch.Generator(device=HERE).manual_seed(1)
        assert isinstance(generator, torch.Generator)
        drawn = torch.randn(3, device=HERE, generator=generator)
        assert drawn.tolist() == torch.randn(3, generator=torch.Generator().manual_seed(1)).tolist()
        assert torch.ones(2).pin_memory().to(HERE, non_blocking=True).device == HERE
    assert reported() == nothing and torch.Generator is torch._C.Generator
    with pytest.raises(ZeroDivisionError), torch.simgpu.shown():
        _ = 1 / 0
    assert reported() == nothing


UNDISTURBED = """
import io, time, torch
from torch import nn
from safetensors.torch import load, save
from autograder.worker import simgpu

def trained():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    optimizer, x = torch.optim.Adam(model.parameters()), torch.randn(4, 5, 8)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        y = model(x, src_key_padding_mask=torch.arange(5).expand(4, 5) > torch.arange(1, 5)[:, None])
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    model.load_state_dict(torch.load(file))
    return file.getvalue(), save({"y": y}), load(save({"y": y}))["y"].tolist(), repr(y)

def machine():
    return torch.cuda.is_available(), torch.cuda.device_count(), torch.accelerator.is_available(), str(torch.get_default_device())

before = trained(), machine()
start = time.perf_counter()
assert simgpu.register() and simgpu.register()
assert time.perf_counter() - start < SECONDS
assert (trained(), machine()) == before
"""


def test_cpu_work_is_not_disturbed():
    """Registering is quick, and training, saving and loading on the CPU give the same bytes before and after it."""
    program = UNDISTURBED.replace("SECONDS", "0.5")  # 10 ms measured; the limit allows for a busy machine
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_seeds_are_the_cpus():
    """torch.manual_seed decides what is drawn there, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.manual_seed(2)
        drawn = torch.randn(3, device=HERE)
        torch.manual_seed(2)
    assert drawn.tolist() == torch.randn(3).tolist()


def test_says_why_it_is_unavailable(monkeypatch):
    """Where torch lacks the experimental interface, or another device has taken it, register is False with a reason."""
    with monkeypatch.context() as patch:
        patch.delattr(backend_registration, "_setup_privateuseone_for_python_backend")
        assert simgpu.register() is False
        assert "_setup_privateuseone_for_python_backend" in simgpu.unavailable_reason()
    with monkeypatch.context() as patch:
        patch.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "other")
        assert simgpu.register() is False
        assert "other" in simgpu.unavailable_reason()
    assert simgpu.register() is True and simgpu.unavailable_reason() is None

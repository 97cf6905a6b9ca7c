"""A simulated accelerator: the torch device `simgpu`, which proves device discipline where there is no GPU.

A tensor on `simgpu` wraps one on the CPU. Operations unwrap, compute on the CPU and wrap again, so training on it
really computes, with the numbers (the random ones too) of the same training on the CPU. Mixing it with CPU tensors
raises as CUDA does, with CUDA's exceptions: a CPU tensor without dimensions in an elementwise operation, and CPU
indices in `x[indices]`. Recurrent layers and nested tensors are not simulated.

    register()                           # once a process, before its first backward
    torch.simgpu.place(model)            # model.to("simgpu"), with the parameters still the same objects
    with torch.simgpu.shown():           # torch.accelerator reports this device only in here
        train(model)
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch.utils import backend_registration

NAME = "simgpu"
DEVICE = f"{NAME}:0"
CPU = torch.device("cpu")

TRANSFERS = {"copy", "copy_", "_to_copy", "_copy_from", "_copy_from_and_resize", "_foreach_copy", "_foreach_copy_"}
INDEXING = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"}
FILLING = {"fill", "fill_", "index_fill", "index_fill_", "masked_fill", "masked_fill_"}

_registrations: list[torch.library.Library] = []  # each holds as long as its Library object lives


@dataclass(frozen=True)
class Rule:
    """What CUDA allows one operation: decided once for each."""

    composite: bool  # made of other operations; outside inference mode torch takes it apart before it comes here
    transfers: bool  # may read one device and write another
    indexes: bool  # indices, and a value without dimensions, may be on the CPU
    takes_scalars: bool  # an argument without dimensions may be on the CPU, unless it is a mask or written to
    names: tuple[str, ...]
    written: frozenset[str]


@functools.cache
def rule_of(operation: Any) -> Rule:
    schema = operation._schema
    name = schema.name.removeprefix("aten::")
    return Rule(
        composite=torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd"),
        transfers=name in TRANSFERS,
        indexes=name in INDEXING,
        takes_scalars=torch.Tag.pointwise in operation.tags or name in FILLING or name.startswith("_foreach_"),
        names=tuple(a.name for a in schema.arguments),
        written=frozenset(a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write),
    )


def dispatch(operation: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Run one operation, some of whose tensors are on the simulated device."""
    rule = rule_of(operation)
    if rule.composite:
        return operation.decompose(*args, **kwargs)
    if not rule.transfers:
        check_devices(operation, rule, {**dict(zip(rule.names, args, strict=False)), **kwargs})
    result = run_on_cpu(operation, args, kwargs)
    if rule.written:
        for tensor in tensors_in([args, list(kwargs.values())]):
            if isinstance(tensor, SimTensor):
                tensor.take_over_shape()
    return result


def check_devices(operation: Any, rule: Rule, arguments: dict[str, Any]) -> None:
    """Raise where CUDA would, because a tensor is not on the device."""
    for name, value in arguments.items():
        for tensor in tensors_in(value):
            if isinstance(tensor, SimTensor):
                continue
            scalar = tensor.dim() == 0 and tensor.device == CPU and name not in rule.written
            if rule.takes_scalars and scalar and name != "mask":
                continue
            if rule.indexes and (name == "indices" or (name == "values" and scalar)):
                continue
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{DEVICE} and {tensor.device}! (argument {name} of {operation})"
            )


def run_on_cpu(operation: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU; the result is on the simulated device unless `device=` asks for another."""
    asked = kwargs.get("device")
    stays = asked is None or torch.device(asked).type == NAME
    if asked is not None and stays:
        kwargs = kwargs | {"device": CPU}
    args, kwargs = unwrap(args), {key: unwrap(value) for key, value in kwargs.items()}
    result = operation(*args, **kwargs)
    return wrap(result) if stays else result


def unwrap(value: Any) -> Any:
    """`value` with the CPU tensors in the place of those that wrap them."""
    if isinstance(value, SimTensor):
        return value.inner
    if isinstance(value, list | tuple):
        return type(value)(unwrap(one) for one in value)
    return value


def wrap(value: Any) -> Any:
    """`value` with its CPU tensors wrapped. (Of an in-place operation torch itself gives the argument back.)"""
    if isinstance(value, torch.Tensor):
        return SimTensor(value)
    if isinstance(value, list | tuple):
        return type(value)(wrap(one) for one in value)
    return value


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)


class SimTensor(torch.Tensor):
    """A tensor on the simulated device; `inner` is the CPU tensor that holds its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "SimTensor":
        # A view of an ordinary tensor is one in inference mode, too; torch asserts where a wrapper made there is not.
        with torch.inference_mode(False) if torch.is_inference_mode_enabled() else contextlib.nullcontext():
            outer = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=DEVICE,
            )
        outer.inner = inner
        return outer

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        return dispatch(operation, args, kwargs or {})

    def take_over_shape(self) -> None:
        """Follow `inner`, which an in-place operation may have given another shape."""
        inner = self.inner
        if self.size() != inner.size() or self.stride() != inner.stride():
            torch.Tensor.data.__set__(self, SimTensor(inner))

    @property
    def data(self) -> torch.Tensor:
        return torch.Tensor.data.__get__(self)

    @data.setter
    def data(self, new: torch.Tensor) -> None:
        torch.Tensor.data.__set__(self, new)
        self.inner = new.inner

    # torch refuses these to every subclass, or answers as for one. They are to behave as for a CUDA tensor.

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        text = f"{str(self.inner)[:-1]}, device='{DEVICE}'"
        if self.grad_fn is not None:
            text += f", grad_fn=<{self.grad_fn.name()}>"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return ("Parameter containing:\n" if isinstance(self, torch.nn.Parameter) else "") + text + ")"

    def __format__(self, specification: str) -> str:
        return format(self.item(), specification) if self.dim() == 0 else object.__format__(self, specification)

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.inner.untyped_storage()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(
                f"can't convert {DEVICE} device type tensor to numpy. "
                "Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return self.detach().cpu().numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        rebuild = torch._utils._rebuild_device_tensor_from_cpu_tensor
        return rebuild, (self.detach().cpu(), self.dtype, DEVICE, self.requires_grad)


class Module:
    """What torch calls the device's module: `torch.simgpu`, in the place of `torch.cuda`."""

    def __init__(self) -> None:
        self.visible = False

    def is_available(self) -> bool:
        return self.visible

    def device_count(self) -> int:
        return 1

    def synchronize(self, device: Any = None) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16, torch.float32]

    # Random numbers come from the CPU's generator, which torch.manual_seed seeds itself.

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move `module` here. Its parameters stay the objects that they were, as in a move to CUDA, where they can."""
        settings = torch.__future__
        before = settings.get_swap_module_params_on_conversion()
        settings.set_swap_module_params_on_conversion(True)
        try:
            return module.to(NAME)
        except RuntimeError:  # what autograd or a weak reference holds cannot be swapped
            settings.set_swap_module_params_on_conversion(False)
            return module.to(NAME)
        finally:
            settings.set_swap_module_params_on_conversion(before)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """In here torch reports an accelerator, and what only works on a machine with one works."""
        stand_ins = (
            (torch, "Generator", Generator),
            (torch.Tensor, "pin_memory", lambda tensor, device=None: tensor.clone()),
            (torch.accelerator, "synchronize", self.synchronize),
        )
        self.visible = True
        try:
            with contextlib.ExitStack() as stack:
                for owner, name, stand_in in stand_ins:
                    stack.enter_context(mock.patch.object(owner, name, stand_in))
                yield
        finally:
            self.visible = False


class GeneratorType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, torch._C.Generator)


class Generator(metaclass=GeneratorType):
    """`torch.Generator` that knows the simulated device, whose random numbers are the CPU's."""

    def __new__(cls, device: Any = "cpu") -> torch._C.Generator:
        return torch._C.Generator(CPU if torch.device(device).type == NAME else device)


def unavailable_reason() -> str | None:
    """Why this torch cannot have the simulated accelerator, or None. Registers nothing."""
    needed = (
        (backend_registration, "_setup_privateuseone_for_python_backend"),
        (torch._C, "_dispatch_has_kernel_for_dispatch_key"),
        (torch._C, "_get_privateuse1_backend_name"),
        (torch.library.Library, "fallback"),
        (torch, "accelerator"),
    )
    missing = [name for owner, name in needed if not hasattr(owner, name)]
    if missing:
        return f"torch {torch.__version__} has no {missing[0]}, on which the simulated accelerator stands"
    taken = torch._C._get_privateuse1_backend_name()
    if taken not in ("privateuseone", NAME):
        return f"the device {taken} already stands where the simulated accelerator would"
    return None


def register() -> bool:
    """Make the device known to torch. False, with `unavailable_reason()`, where that cannot be done.

    Comes before the first backward of the process: autograd starts one thread for each device that it knows then.
    """
    if unavailable_reason() is not None:
        return False
    if torch._C._get_privateuse1_backend_name() == NAME:
        return True
    module = Module()
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=module)
    every, aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    every.fallback(lambda operation, *args, **kwargs: run_on_cpu(operation, args, kwargs), "PrivateUse1")
    every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # autocast changes nothing here
    aten.impl("_copy_from", copy_from, "PrivateUse1")
    _registrations.extend((every, aten))
    torch.accelerator.current_accelerator = hide_from(torch.accelerator.current_accelerator, module)
    return True


def copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """What `torch.tensor(..., device=)` calls, past SimTensor's own dispatch."""
    unwrap(target).copy_(unwrap(source))
    return target


def hide_from(current: Callable[..., Any], module: Module) -> Callable[..., Any]:
    """`torch.accelerator.current_accelerator`, which is None while the device is not shown."""

    @functools.wraps(current)
    def current_accelerator(check_available: bool = False) -> torch.device | None:
        return current(check_available) if module.visible else None

    return current_accelerator

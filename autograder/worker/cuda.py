"""The GPU of a worker: hidden from its warm parent, which could not fork once it used CUDA, and opened in itself."""

import os
from pathlib import Path

# until a worker opens its GPU nothing that asks whether there is one may start CUDA: neither the driver nor its monitor
HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


def open_gpu(visible: str | None) -> None:
    """Start CUDA in this process on its one GPU; `visible` is its number where others can be seen, too.

    Raises RuntimeError or AssertionError, of torch's, where CUDA does not start.
    """
    import torch

    for name in HIDDEN:
        os.environ.pop(name, None)
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    torch.cuda.init()
    if torch.cuda.device_count() != 1:
        raise RuntimeError(f"CUDA sees {torch.cuda.device_count()} GPUs in place of one")
    torch.zeros(1, device="cuda")  # takes what the first use takes: no test's time, and no surprise later


def opened(device_files: str = "/dev/nvidia") -> list[str]:
    """Files that this process holds open, whose paths begin as those of GPUs do."""
    held = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            held.append(str(entry.readlink()))
        except OSError:  # the descriptor that lists them
            continue
    return [file for file in held if file.startswith(device_files)]

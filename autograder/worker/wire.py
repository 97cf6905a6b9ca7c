"""Frames and values that cross between the grader and the worker.

A frame is two little-endian lengths (JSON, tensors), then JSON, then safetensors. Values are plain JSON scalars, or an
object with one key: `l` list, `t` tuple, `d` pairs of a dict, `f` a float that JSON lacks, `x` a tensor's name, `h` an
object kept by the worker, `o` the type of something that does not cross. Either side reads a frame as if an enemy had
written it: lengths before memory, depth, count, rank, shape and dtype before use.
"""

import json
import math
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save

from .bounds import DEPTH, JSON_BYTES, NODES, RANK, TENSOR_BYTES, TENSOR_HEADER_BYTES, TENSORS

HEAD = struct.Struct("<IQ")
DTYPES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "BF16": 2, "F32": 4, "F64": 8,
}  # fmt: skip
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
TORCH_DTYPES = frozenset((*WHOLE, torch.float16, torch.bfloat16, torch.float32, torch.float64))


class BadFrame(Exception):
    """The other side sent something that is not a well-formed frame within the limits."""


class TooLarge(Exception):
    """What should be sent is more than the other side would read."""


class Closed(Exception):
    """The other side is gone."""


@dataclass(frozen=True)
class Opaque:
    """Something that does not cross the boundary; only the name of its type does."""

    type_name: str


@dataclass(frozen=True)
class Handle:
    """An object that the worker keeps."""

    number: int


def send_frame(channel: socket.socket, message: Any, deadline: float | None = None) -> None:
    """Send one value; `deadline` is a time on `time.monotonic()`. Raises TooLarge."""
    tensors: dict[str, torch.Tensor] = {}
    head = json.dumps(encode(message, tensors)).encode()
    if len(head) > JSON_BYTES:
        raise TooLarge(f"texts, numbers and lists of {len(head) // 2**20} MB; the limit is {JSON_BYTES // 2**20} MB")
    body = save(tensors) if tensors else b""
    _arm(channel, deadline)
    channel.sendall(HEAD.pack(len(head), len(body)) + head + body)


def receive_frame(channel: socket.socket, deadline: float | None = None) -> Any:
    """Receive one value. Raises BadFrame, Closed, or TimeoutError after `deadline`."""
    json_length, tensor_length = HEAD.unpack(_read(channel, HEAD.size, deadline))
    if json_length > JSON_BYTES or tensor_length > TENSOR_BYTES:
        raise BadFrame("the reply is too large")
    head, body = _read(channel, json_length, deadline), _read(channel, tensor_length, deadline)
    if head.count(b"[") + head.count(b"{") > 3 * NODES or head.count(b",") > 3 * NODES:
        raise BadFrame("the reply has too many parts")  # parsing them would take a hundred times their size
    try:
        return decode(json.loads(head), read_tensors(body))
    except BadFrame:
        raise
    except Exception as error:  # nesting, huge integers, broken text: whatever a crafted frame sets off
        raise BadFrame(f"the reply is malformed ({type(error).__name__})") from None


def _arm(channel: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        channel.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    channel.settimeout(left)


def _read(channel: socket.socket, length: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < length:
        _arm(channel, deadline)
        try:
            piece = channel.recv(min(length - len(data), 2**20))
        except ConnectionError:
            piece = b""
        if not piece:
            raise Closed
        data += piece
    return bytes(data)


def encode(value: Any, tensors: dict[str, torch.Tensor], depth: int = 0) -> Any:
    """The JSON form of `value`; its tensors are added to `tensors`.

    >>> tensors = {}
    >>> encode([1, 0.5, None, torch.ones(2)], tensors)
    {'l': [1, 0.5, None, {'x': '0'}]}
    >>> tensors
    {'0': tensor([1., 1.])}
    """
    if depth > DEPTH:
        return {"o": "something nested too deeply"}
    if value is None or value is True or value is False:
        return value
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, tensors)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        number = int(value)
        return number if abs(number) < 2**63 else {"o": "an integer beyond 64 bits"}
    if isinstance(value, float):
        real = float(value)
        return real if math.isfinite(real) else {"f": str(real)}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Handle):
        return {"h": value.number}
    if isinstance(value, Opaque):
        return {"o": value.type_name[:200]}
    if isinstance(value, tuple):
        return {"t": [encode(v, tensors, depth + 1) for v in value]}
    if isinstance(value, list):
        return {"l": [encode(v, tensors, depth + 1) for v in value]}
    if isinstance(value, dict):
        return {"d": [[encode(k, tensors, depth + 1), encode(v, tensors, depth + 1)] for k, v in value.items()]}
    return {"o": type(value).__name__[:200]}


def _encode_tensor(value: torch.Tensor, tensors: dict[str, torch.Tensor]) -> Any:
    if value.layout is not torch.strided or value.is_quantized or value.device.type == "meta":
        return {"o": f"a {value.layout} tensor on {value.device.type}"}
    if value.dtype not in TORCH_DTYPES:
        return {"o": f"a tensor of {value.dtype}"}
    if value.dim() > RANK:
        return {"o": f"a tensor with {value.dim()} dimensions"}
    size = value.numel() * value.element_size() + sum(t.nbytes for t in tensors.values())
    if size > TENSOR_BYTES - TENSOR_HEADER_BYTES or len(tensors) >= TENSORS:
        raise TooLarge(
            f"{len(tensors) + 1} tensors of {size // 2**20} MB; the limit is {TENSORS} of {TENSOR_BYTES // 2**20} MB"
        )
    name = str(len(tensors))
    # a copy of its own: safetensors refuses tensors that share memory
    plain = value.detach().to("cpu").resolve_neg()
    tensors[name] = torch.empty(plain.shape, dtype=plain.dtype).copy_(plain)
    return {"x": name}


def decode(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The value of a JSON form. Raises BadFrame for whatever `encode` does not write."""
    budget = [NODES]
    left = dict(tensors)

    def walk(node: Any, depth: int) -> Any:
        budget[0] -= 1
        if depth > DEPTH + 1 or budget[0] < 0:
            raise BadFrame("the reply is nested too deeply or has too many parts")
        if node is None or isinstance(node, bool | float):
            return node
        if isinstance(node, str):
            return _text(node)
        if isinstance(node, int):
            if abs(node) >= 2**63:
                raise BadFrame("the reply holds an integer beyond 64 bits")
            return node
        if not isinstance(node, dict) or len(node) != 1:
            raise BadFrame("the reply is malformed")
        ((kind, content),) = node.items()
        match kind, content:
            case "l", list():
                return [walk(v, depth + 1) for v in content]
            case "t", list():
                return tuple(walk(v, depth + 1) for v in content)
            case "d", list():
                return dict(pair(p, depth) for p in content)
            case "f", "nan" | "inf" | "-inf":
                return float(content)
            case "x", str() if content in left:
                return left.pop(content)  # each stands in one place, as `encode` has it
            case "h", int() if type(content) is int and 0 <= content < 2**31:
                return Handle(content)
            case "o", str():
                return Opaque(_text(content[:200]))
        raise BadFrame("the reply is malformed")

    def pair(node: Any, depth: int) -> tuple[Any, Any]:
        if not isinstance(node, list) or len(node) != 2:
            raise BadFrame("the reply is malformed")
        key = walk(node[0], depth + 1)
        if not (key is None or isinstance(key, bool | int | float | str)):
            key = Opaque(type(key).__name__)
        return key, walk(node[1], depth + 1)

    return walk(tree, 0)


def _text(text: str) -> str:
    """`text` without the halves of characters that no file can hold."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def read_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors block, its header checked before the library sees it."""
    if not data:
        return {}
    if len(data) < 8:
        raise BadFrame("the tensors are malformed")
    (header_length,) = struct.unpack("<Q", data[:8])
    if header_length > min(TENSOR_HEADER_BYTES, len(data) - 8):
        raise BadFrame("the tensors are malformed")
    header = json.loads(data[8 : 8 + header_length])
    room = len(data) - 8 - header_length
    if not isinstance(header, dict) or len(header) > TENSORS:
        raise BadFrame("the reply holds too many tensors")
    for entry in header.values():
        _check_entry(entry, room)
    # a byte other than 0 and 1 would be a truth value that counts more than once
    return {n: t.view(torch.uint8).ne(0) if t.dtype == torch.bool else t for n, t in load(data).items()}


def _small_numbers(value: Any, most: int) -> list[int]:
    if not isinstance(value, list) or len(value) > most:
        raise BadFrame("a tensor of the reply has a strange shape")
    if any(type(n) is not int or not 0 <= n < 2**31 for n in value):
        raise BadFrame("a tensor of the reply has a strange shape")
    return value


def _check_entry(entry: Any, room: int) -> None:
    if not isinstance(entry, dict) or entry.get("dtype") not in DTYPES:
        raise BadFrame("a tensor of the reply has a strange type")
    shape, offsets = _small_numbers(entry.get("shape"), RANK), _small_numbers(entry.get("data_offsets"), 2)
    if math.prod(max(n, 1) for n in shape) > TENSOR_BYTES:  # empty, and yet too large to be broadcast
        raise BadFrame("a tensor of the reply has a strange shape")
    size = math.prod(shape) * DTYPES[entry["dtype"]]
    if len(offsets) != 2 or offsets[1] - offsets[0] != size or offsets[1] > room:
        raise BadFrame("a tensor of the reply has a strange size")

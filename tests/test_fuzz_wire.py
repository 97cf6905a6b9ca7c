"""Five thousand replies that no honest worker sends: each is a value or a refusal, soon, and leaves no memory behind."""

import json
import random
import resource
import socket
import struct
import threading
import time
import tracemalloc

import pytest
import torch
from safetensors.torch import save

from autograder.worker import wire
from autograder.worker.wire import HEAD, BadFrame, Closed, encode, receive_frame

REPLIES = 5_000
SECONDS_A_REPLY = 5.0

HONEST = [
    {"number": 1, "value": [1, -2.5, "text", None, True, float("nan")]},
    {"number": 2, "value": {"loss": (0.5, [torch.arange(6).reshape(2, 3), torch.zeros(0, 3)])}},
    {"number": 3, "error": {"type": "ValueError", "bases": ["ValueError"], "text": "no", "place": "sdpa:3"}},
    [torch.ones(2, 2, dtype=torch.bool), torch.ones(3, dtype=torch.bfloat16), wire.Handle(3), wire.Opaque("set")],
]
SCALARS = [
    0, -1, 2**31, 2**63, 10**30, 1e308, float("inf"), float("nan"), True, None, "", "0", "9" * 50, "\ud800", "\0", "nan",
    [], {}, [[]], {"l": []}, {"x": "0"}, {"x": []}, {"h": -1}, {"h": 2**70}, {"h": True}, {"f": "infinity"}, {"o": 7},
    {"d": [[{"x": "0"}, 1]]}, {"d": [[{"l": []}, 1]]}, {"l": [], "t": []}, {"__proto__": 1},
]  # fmt: skip
RAW = [b"", b"\0", b"\xff\xfe", b"[" * 5_000, b'{"l":[' * 500, b"9" * 10_000, b"-", b"NaN", b"1e999999", b'"\\ud800"']


def parts(value: object) -> tuple[bytes, bytes]:
    tensors: dict[str, torch.Tensor] = {}
    head = json.dumps(encode(value, tensors)).encode()
    return head, save(tensors) if tensors else b""


def changed_tree(tree: object, chance: random.Random, depth: int = 0) -> object:
    """The same JSON with a value here and there replaced, doubled, dropped or wrapped."""
    if chance.random() < 0.12:
        return chance.choice(SCALARS)
    if isinstance(tree, list):
        grown = [changed_tree(one, chance, depth + 1) for one in tree for _ in range(chance.choice((0, 1, 1, 1, 1, 2)))]
        chance.shuffle(grown)
        return grown
    if isinstance(tree, dict):
        keys = [chance.choice((key, key, key, key, "l", "t", "d", "x", "shape")) for key in tree]
        return {k: changed_tree(v, chance, depth + 1) for k, v in zip(keys, tree.values(), strict=True)}
    return tree


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some bytes flipped, cut, doubled or put in."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(changed))
        match chance.randint(0, 4):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randint(0, 7)
            case 1:
                del changed[at : at + chance.randint(1, 20)]
            case 2:
                changed[at:at] = changed[at : at + chance.randint(1, 20)]
            case 3:
                changed[at:at] = chance.randbytes(chance.randint(1, 20))
            case 4:
                changed[at:at] = chance.choice(RAW[:4])
    return bytes(changed)


def crafted_tensors(body: bytes, chance: random.Random) -> bytes:
    """A safetensors block whose header lies."""
    if len(body) < 8:
        return chance.choice(RAW)
    (length,) = struct.unpack("<Q", body[:8])
    header = json.dumps(changed_tree(json.loads(body[8 : 8 + length]), chance)).encode()
    said = chance.choice((len(header), len(header), len(header), 0, 2**63, len(body)))
    return struct.pack("<Q", said) + header + body[8 + length :]


def reply(chance: random.Random) -> bytes:
    """One frame: an honest one, changed in its JSON, its tensors, its bytes or its lengths."""
    head, body = parts(chance.choice(HONEST))
    kind = chance.randint(0, 5)
    if kind in (0, 1):
        head = json.dumps(changed_tree(json.loads(head), chance)).encode()
    if kind in (1, 2):
        body = crafted_tensors(body, chance)
    if kind == 3:
        head, body = changed_bytes(head, chance), changed_bytes(body, chance)
    if kind == 4:
        head, body = chance.choice(RAW), chance.choice((body, *RAW))
    lengths = [len(head), len(body)]
    if kind == 5:
        lengths = [chance.choice((n, n - 1 if n else 0, n + 1, 0, 2**32 - 1)) for n in lengths]
    return HEAD.pack(*lengths) + head + body


def outcome(frame: bytes) -> str:
    """What the receiver makes of a frame after which the sender hangs up."""
    left, right = socket.socketpair()
    with right:
        sender = threading.Thread(target=_send, args=(left, frame))
        sender.start()
        try:
            receive_frame(right, time.monotonic() + SECONDS_A_REPLY)
        except (BadFrame, Closed) as refusal:
            return type(refusal).__name__
        finally:
            right.close()
            sender.join()
    return "value"


def _send(channel: socket.socket, frame: bytes) -> None:
    with channel:
        try:
            channel.sendall(frame)
        except OSError:
            return  # the receiver has seen enough


def resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def test_five_thousand_replies_are_values_or_refusals():
    """Nothing but BadFrame and Closed is raised, none takes long, and all three outcomes occur."""
    chance = random.Random(5)
    seen: dict[str, int] = {}
    for _ in range(REPLIES):
        frame = reply(chance)
        start = time.monotonic()
        end = outcome(frame)
        assert time.monotonic() - start < SECONDS_A_REPLY, frame[:200]
        seen[end] = seen.get(end, 0) + 1
    assert seen.keys() == {"value", "BadFrame", "Closed"}
    assert min(seen.values()) > REPLIES // 50


def test_refused_replies_leave_no_memory_behind():
    """After the first thousand, another thousand keep neither Python's nor the process's memory."""
    frames = [reply(random.Random(n)) for n in range(1_000)]
    for frame in frames:
        outcome(frame)
    tracemalloc.start()
    try:
        before, process = tracemalloc.get_traced_memory()[0], resident()
        for frame in frames:
            outcome(frame)
        assert tracemalloc.get_traced_memory()[0] - before < 2**20
        assert resident() - process < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b"[],", b"{},", b"0,", b'"",'])
def test_a_reply_of_nothing_but_parts_is_refused_before_it_is_parsed(piece):
    """16 MB of brackets would become objects of a gigabyte; the refusal takes little more than the frame itself."""
    count = (wire.JSON_BYTES - 20) // len(piece)
    head = b'{"l":[' + piece * count + b"0]}"
    tracemalloc.start()
    try:
        assert outcome(HEAD.pack(len(head), 0) + head) == "BadFrame"
        assert tracemalloc.get_traced_memory()[1] < 6 * wire.JSON_BYTES
    finally:
        tracemalloc.stop()


def test_truth_values_are_zero_or_one():
    """A byte of 255 in a tensor of truth values is a true one as any other, whatever compares or copies it."""
    body = bytearray(save({"0": torch.ones(3, dtype=torch.bool)}))
    body[-3:] = b"\xff\x02\x00"
    found = wire.read_tensors(bytes(body))["0"]
    assert found.dtype == torch.bool and found.view(torch.uint8).tolist() == [1, 1, 0]


@pytest.mark.parametrize("shape", [[2**30, 2**30, 0], [0, 2**31 - 1]])
def test_empty_tensors_of_giant_shape_are_refused(shape):
    """Without a value they take no bytes, but whatever they are broadcast against would."""
    header = json.dumps({"0": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    with pytest.raises(BadFrame):
        wire.read_tensors(struct.pack("<Q", len(header)) + header)

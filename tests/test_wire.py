"""What crosses the boundary arrives as it was sent; what an enemy crafts is refused before it costs anything."""

import json
import math
import socket
import struct
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from autograder.worker import wire
from autograder.worker.wire import HEAD, BadFrame, Closed, Handle, Opaque, decode, encode, receive_frame, send_frame

scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(-9, 9), inner),
    max_leaves=20,
)


def through(value: object) -> object:
    """`value` after a trip through a real socket pair."""
    left, right = socket.socketpair()
    with left, right:
        sender = threading.Thread(target=send_frame, args=(left, value))
        sender.start()
        got = receive_frame(right, time.monotonic() + 10)
        sender.join()
    return got


def raw(head: bytes, body: bytes = b"") -> object:
    """What the receiver makes of a crafted frame."""
    left, right = socket.socketpair()
    with left, right:
        sender = threading.Thread(target=left.sendall, args=(HEAD.pack(len(head), len(body)) + head + body,))
        sender.start()
        try:
            return receive_frame(right, time.monotonic() + 10)
        finally:
            sender.join()


def header(entry: object, data: bytes = b"") -> bytes:
    """A safetensors block with one crafted entry."""
    text = json.dumps({"0": entry}).encode()
    return struct.pack("<Q", len(text)) + text + data


@settings(max_examples=200, deadline=None)
@given(values)
def test_plain_values_arrive_unchanged(value):
    """Decoding what was encoded gives the same value, types included."""
    tensors = {}
    got = decode(json.loads(json.dumps(encode(value, tensors))), tensors)
    assert got == value
    assert type(got) is type(value)


def test_floats_that_json_lacks_arrive():
    """NaN and the infinities are values like any other."""
    nan, up, down = through([math.nan, math.inf, -math.inf])
    assert math.isnan(nan)
    assert (up, down) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_tensors_arrive_with_values_shape_and_dtype(dtype):
    """A tensor inside a structure keeps its values; an expanded view and an empty tensor cross, too."""
    one = (torch.arange(6).reshape(2, 3) % 2).to(dtype)
    got = through({"a": (one, [one.T]), "b": torch.zeros(2, 0, 3), "c": torch.ones(1, 2).expand(3, 2)})
    assert got["a"][0].dtype == dtype
    assert torch.equal(got["a"][0], one)
    assert torch.equal(got["a"][1][0], one.T)
    assert got["b"].shape == (2, 0, 3)
    assert torch.equal(got["c"], torch.ones(3, 2))


def test_what_does_not_cross_arrives_as_the_name_of_its_type():
    """Objects, complex, sparse, meta and over-long integers become opaque instead of failing."""
    sent = [
        object(),
        torch.zeros(1, dtype=torch.complex64),
        torch.eye(2).to_sparse(),
        torch.zeros(2, device="meta"),
        2**70,
    ]
    got = through(sent)
    assert all(isinstance(one, Opaque) for one in got)
    assert got[0] == Opaque("object")


def test_nesting_without_end_becomes_opaque():
    """A list that holds itself is cut off, not followed for ever."""
    loop: list[object] = []
    loop.append(loop)
    assert "Opaque" in repr(through(loop))


def test_handles_cross():
    """A kept object is known by its number."""
    assert through({"h": Handle(7)}) == {"h": Handle(7)}


@pytest.mark.parametrize(
    "head",
    [
        b"", b"{", b"[1]", b'{"l": 1}', b'{"x": "9"}', b'{"f": "1e999"}', b'{"l": [], "t": []}', b'{"d": [[1]]}', b'{"z": 1}',
        b"9" * 5000, str(2**63).encode(), b'{"l": [' * 100_000, b'{"l":[' * 40 + b"1" + b"]}" * 40, b'{"o": 3}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_malformed_heads_are_refused(head):
    """Broken JSON, unknown kinds, huge numbers and deep nesting give BadFrame and nothing else."""
    with pytest.raises(BadFrame):
        raw(head)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40, 0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [0] * 5000, "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, -16]},
        {"dtype": "F32", "shape": [1e3], "data_offsets": [0, 4000]},
        {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2**20], "data_offsets": [0, 2**22]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        "F32",
        None,
    ],
)
def test_tensors_that_lie_about_themselves_are_refused(entry):
    """Shape, rank, type and size are checked against the bytes that are there."""
    with pytest.raises(BadFrame):
        raw(b'{"x": "0"}', header(entry, bytes(16)))


@pytest.mark.parametrize("head", [b'{"l": [{"x": "0"}, {"x": "0"}]}', b'{"t": [{"x": "0"}, {"d": [[1, {"x": "0"}]]}]}'])
def test_a_tensor_stands_in_one_place(head):
    """A frame names each tensor once, as `encode` does: a list of a million names would be a million tensors to look at."""
    with pytest.raises(BadFrame):
        raw(head, save({"0": torch.zeros(4)}))
    one = torch.zeros(2)
    assert len(through([one, one, {"a": one}])) == 3


def test_too_many_tensors_are_refused():
    """The number of tensors is limited."""
    with pytest.raises(BadFrame):
        raw(b"1", save({str(i): torch.zeros(1) for i in range(wire.TENSORS + 1)}))


def test_announced_size_costs_no_memory():
    """A frame that announces more than the limit is refused before a byte of it is read."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(HEAD.pack(10, 2**40))
        with pytest.raises(BadFrame):
            receive_frame(right, time.monotonic() + 5)


def test_silence_ends_at_the_deadline_and_a_hang_up_at_once():
    """Waiting is bounded, and a closed channel is told apart from silence."""
    left, right = socket.socketpair()
    with right:
        with pytest.raises(TimeoutError):
            receive_frame(right, time.monotonic() + 0.1)
        left.sendall(b"\0\0")
        left.close()
        with pytest.raises(Closed):
            receive_frame(right, time.monotonic() + 5)


def test_a_trickle_does_not_stretch_the_deadline():
    """One byte at a time keeps nobody waiting longer than the deadline."""
    left, right = socket.socketpair()
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.02):
            left.sendall(b"\1")

    feeder = threading.Thread(target=trickle)
    with left, right:
        left.sendall(HEAD.pack(100_000, 0))
        feeder.start()
        start = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                receive_frame(right, start + 0.3)
        finally:
            stop.set()
            feeder.join()
        assert time.monotonic() - start < 5


def test_random_bytes_never_do_anything_but_refuse():
    """Ten thousand random heads and tensor blocks: a value or BadFrame, never another exception."""
    chance = torch.Generator().manual_seed(0)
    for n in range(10_000):
        noise = bytes(torch.randint(0, 256, (n % 60,), generator=chance).tolist())
        try:
            wire.read_tensors(struct.pack("<Q", n % 70) + noise)
        except (BadFrame, ValueError, RecursionError):
            pass  # receive_frame turns both into BadFrame
        except Exception as error:  # safetensors' own refusal is one, too
            assert type(error).__name__ == "SafetensorError", error

"""How work reaches a GPU: parallel streams, and recordings that are launched as one piece. On a CPU, plain calls."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Generic, TypeVar

import torch

Value = TypeVar("Value")
Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]
# Takes a function and its tensors. Gives a function without arguments that does the same to the same tensors again.
Recorder = Callable[[Function, Tensors], Callable[[], Tensors]]

WARM_UP = 3  # plain calls before a recording: in them, libraries choose algorithms and optimisers make their state
MOST_RECORDINGS = 4  # of one function, one for each set of shapes; the oldest is dropped


class Stream:
    """A queue of work on a device. It runs beside the other queues of the process, and has priority over them.

    Its pieces are small. Without priority, each would wait until all of a picture's millions of paths are traced.

    A CPU has no such queue: there, the work is done when the call returns.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = _before_others(device) if device.type == "cuda" else None

    @property
    def is_separate(self) -> bool:
        """Whether work here runs beside other streams."""
        return self._stream is not None

    @contextmanager
    def use(self) -> Iterator[None]:
        """Within this context, the thread's work goes to this stream.

        It begins after what is queued on the thread's own stream, which then continues after it. Only the device waits,
        the thread does not.
        """
        if self._stream is None:
            yield
            return
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            outside.wait_stream(self._stream)


class Handover(Generic[Value]):
    """A value with tensors that one stream computes and other streams read. Made on the first, taken on the others.

    The tensors must be in torch's own memory. Dr.Jit uses its memory again without asking other streams. So what it has
    rendered is first copied on torch's default stream, for which Dr.Jit's stream waits.
    """

    def __init__(self, value: Value, tensors: Sequence[torch.Tensor]) -> None:
        self._value = value
        self._tensors = [tensor for tensor in tensors if tensor.is_cuda]
        self._ready = torch.cuda.Event() if self._tensors else None
        if self._ready is not None:
            self._ready.record(torch.cuda.current_stream(self._tensors[0].device))

    def take(self) -> Value:
        """The value. Later work of the current stream waits until it is computed; the thread does not wait."""
        if self._ready is not None:
            stream = torch.cuda.current_stream(self._tensors[0].device)
            stream.wait_event(self._ready)
            for tensor in self._tensors:
                tensor.record_stream(stream)  # keeps its memory while this stream may still read it
        return self._value


class Recorded:
    """Calls a function of tensors. On a GPU, it records a few calls later what the function does, as a CUDA graph.

    From then on one launch replaces hundreds of small ones, and the time that Python and the driver take for them. This
    holds for inputs of the same shapes.

    So the function must do the same for all inputs of a shape. It reads no value back from the device. Numbers that
    change are in tensors that stay the same objects. One thread and one stream call it at a time.

    record: how to record, from `recorder_of`; None to call plainly. If recording fails, a warning says so, and plain
    calls go on.
    """

    def __init__(self, function: Function, record: Recorder | None) -> None:
        self._function, self._record = function, record
        self._calls: dict[tuple[object, ...], int] = {}
        self._recordings: dict[tuple[object, ...], tuple[Tensors, Callable[[], Tensors]]] = {}

    def __call__(self, *inputs: torch.Tensor) -> Tensors:
        if self._record is None:
            return self._function(*inputs)
        shapes = tuple(tensor.shape for tensor in inputs)
        self._calls[shapes] = self._calls.get(shapes, 0) + 1
        if shapes not in self._recordings:
            if self._calls[shapes] <= WARM_UP:
                return self._function(*inputs)
            kept = tuple(torch.empty_like(tensor).copy_(tensor) for tensor in inputs)
            try:
                replay = self._record(self._function, kept)
            except RuntimeError as error:
                self._record = None
                warnings.warn(f"no CUDA graphs: {str(error).splitlines()[0]}", RuntimeWarning, stacklevel=2)
                return self._function(*inputs)
            if len(self._recordings) == MOST_RECORDINGS:
                oldest = next(iter(self._recordings))
                del self._recordings[oldest], self._calls[oldest]
            self._recordings[shapes] = kept, replay
        kept, replay = self._recordings[shapes]
        for mine, given in zip(kept, inputs, strict=True):
            mine.copy_(given)
        return tuple(part.clone() for part in replay())  # because the next replay writes to the same memory


def recorder_of(device: torch.device) -> Recorder | None:
    """CUDA graphs on a CUDA device; None elsewhere."""
    return record_cuda_graph if device.type == "cuda" else None


def _before_others(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority=-1)


_one_at_a_time = threading.Lock()
# One for all recordings of a device: torch hands out its few streams in turn, and another one may belong to somebody.
# A recording keeps the priority of the stream that it was made on.
_recording_stream = cache(_before_others)


def record_cuda_graph(function: Function, inputs: Tensors) -> Callable[[], Tensors]:
    """Records what the function does to these inputs as a CUDA graph. Nothing is computed yet. Raises RuntimeError.

    Other threads may use the GPU meanwhile, but must not record.
    """
    device = inputs[0].device
    graph = torch.cuda.CUDAGraph()
    outside = torch.cuda.current_stream(device)
    try:
        with (
            _one_at_a_time,
            torch.cuda.graph(graph, stream=_recording_stream(device), capture_error_mode="thread_local"),
        ):
            outputs = function(*inputs)
    finally:
        torch.cuda.set_stream(outside)  # a failed recording does not set it back

    def replay() -> Tensors:
        graph.replay()
        return outputs

    return replay

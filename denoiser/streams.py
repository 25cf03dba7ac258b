"""How work reaches a GPU: streams beside each other, and recordings that launch as one piece. On a CPU, plain calls."""

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
# Makes a function of no arguments that does again what was done to the very tensors that were passed here.
Recorder = Callable[[Function, Tensors], Callable[[], Tensors]]

WARM_UP = 3  # calls before a recording: libraries choose their algorithms, and optimisers make their state
MOST_RECORDINGS = 4  # of one function, each of its own shapes; the oldest goes


class Stream:
    """A queue of work on a device that runs beside the other queues of the process, and goes before them.

    Its pieces are small: behind a picture's millions of paths each would wait for the last of them.

    A CPU has none of its own: there, work is done when the call returns.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = _before_others(device) if device.type == "cuda" else None

    @property
    def is_separate(self) -> bool:
        """Whether work here runs beside other streams."""
        return self._stream is not None

    @contextmanager
    def use(self) -> Iterator[None]:
        """This thread's work goes to this stream, after what is queued on the thread's own, which goes on after it.

        Only the device waits, not the thread.
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
    """A value whose tensors one stream computes and others read: made on the one, taken on the others.

    The tensors must be in torch's own memory. Dr.Jit gives its memory away again without asking other streams: what it
    has rendered may only be read on torch's default stream, which Dr.Jit's waits for, and is copied there first.
    """

    def __init__(self, value: Value, tensors: Sequence[torch.Tensor]) -> None:
        self._value = value
        self._tensors = [tensor for tensor in tensors if tensor.is_cuda]
        self._ready = torch.cuda.Event() if self._tensors else None
        if self._ready is not None:
            self._ready.record(torch.cuda.current_stream(self._tensors[0].device))

    def take(self) -> Value:
        """The value; what the current stream is given from now on waits until it is computed. The thread does not."""
        if self._ready is not None:
            stream = torch.cuda.current_stream(self._tensors[0].device)
            stream.wait_event(self._ready)
            for tensor in self._tensors:
                tensor.record_stream(stream)  # its memory is not given away while this stream may still read it
        return self._value


class Recorded:
    """Calls a function of tensors; on a GPU, after a few calls with inputs of the same shapes, by one launch of what it
    did: a CUDA graph, without the time that Python and the driver take for hundreds of small launches.

    So the function must do the same for all inputs of a shape: read no value back from the device, and take numbers
    that change from tensors that stay. It must run under one thread and stream at a time.

    record: how to record, None to do without; `recorder_of` a device. Where recording fails, a warning says so and
    everything goes on without.
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
        return tuple(part.clone() for part in replay())  # the next replay writes to the same memory


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
    """A CUDA graph of what the function does to these inputs; nothing is computed yet. Raises RuntimeError.

    Other threads may go on using the GPU meanwhile, but for recordings of their own.
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
        torch.cuda.set_stream(outside)  # which a failed recording does not

    def replay() -> Tensors:
        graph.replay()
        return outputs

    return replay

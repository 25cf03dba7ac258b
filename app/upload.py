"""How pixels reach a texture: through the CPU or, if CUDA and GL share a GPU, without leaving it.

The CUDA way copies the tensor into a pixel buffer that GL and CUDA both know (CUDA Runtime API, "OpenGL
Interoperability"), and lets GL fill the texture from there.

In both ways the window does not wait for the frame that is being rendered. Tensors are read on a stream of their own,
so they must be computed already.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any

import moderngl
import numpy as np

from noisewalk.app.layers import as_array, beside_rendering

_WRITE_DISCARD = 2
_DEVICE_TO_DEVICE = 3


class CudaError(Exception):
    """CUDA and this GL context do not work together. The message names the call that failed."""


def write_texture(texture: moderngl.Texture, image: Any, interop: CudaInterop | None) -> None:
    """Fills a texture of three float32 channels with (H, W, 3): an array, or a tensor on any device."""
    if interop is not None and not isinstance(image, np.ndarray) and image.is_cuda:
        interop.write(texture, image)
    else:
        texture.write(as_array(image))


class CudaInterop:
    """Copies CUDA tensors into textures of `context`. Raises CudaError if that does not work here."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._runtime = _load_runtime()
        self._buffer: moderngl.Buffer | None = None
        self._resource = ctypes.c_void_p()

    def write(self, texture: moderngl.Texture, image: Any) -> None:
        """Fills the texture with a contiguous copy of (H, W, 3) float32 on the GPU."""
        with beside_rendering(image) as stream:
            image = image.contiguous()
            buffer = self._shared_buffer(image.numel() * image.element_size())
            self._copy(image, ctypes.c_void_p(stream.cuda_stream))
            stream.synchronize()  # the tensor's memory may be used again after this call
        texture.write(buffer)

    def _copy(self, image: Any, stream: ctypes.c_void_p) -> None:
        size = image.numel() * image.element_size()
        pointer, mapped = ctypes.c_void_p(), ctypes.c_size_t()
        self._call("cudaGraphicsMapResources", 1, ctypes.byref(self._resource), stream)
        try:
            self._call(
                "cudaGraphicsResourceGetMappedPointer", ctypes.byref(pointer), ctypes.byref(mapped), self._resource
            )
            if mapped.value < size:
                raise CudaError(f"a buffer of {mapped.value} bytes where {size} are needed")
            source = ctypes.c_void_p(image.data_ptr())
            self._call("cudaMemcpyAsync", pointer, source, ctypes.c_size_t(size), _DEVICE_TO_DEVICE, stream)
        finally:
            self._call("cudaGraphicsUnmapResources", 1, ctypes.byref(self._resource), stream)

    def _shared_buffer(self, size: int) -> moderngl.Buffer:
        if self._buffer is None or self._buffer.size != size:
            self.close()
            self._buffer = self._context.buffer(reserve=size, dynamic=True)
            number = ctypes.c_uint(self._buffer.glo)
            self._call("cudaGraphicsGLRegisterBuffer", ctypes.byref(self._resource), number, _WRITE_DISCARD)
        return self._buffer

    def close(self) -> None:
        """Frees the buffer."""
        resource, self._resource = self._resource, ctypes.c_void_p()
        buffer, self._buffer = self._buffer, None
        try:
            if resource:
                self._call("cudaGraphicsUnregisterResource", resource)
        finally:
            if buffer is not None:
                buffer.release()

    def _call(self, name: str, *arguments: Any) -> None:
        if code := getattr(self._runtime, name)(*arguments):
            self._runtime.cudaGetLastError()  # clears the error, which torch's next call would report otherwise
            raise CudaError(f"{name} failed with error {code}")


def try_interop(context: moderngl.Context, image: Any) -> CudaInterop | None:
    """CudaInterop, if the CUDA tensor `image` (H, W, 3) arrives in a texture unchanged; else None, for good.

    This finds a GL context on another GPU, or on no GPU.
    """
    height, width = image.shape[:2]
    try:
        interop = CudaInterop(context)
    except (OSError, AttributeError):
        return None
    texture = context.texture((width, height), 3, dtype="f4")
    try:
        interop.write(texture, image)
        arrived = np.frombuffer(texture.read(), dtype=np.float32)
        if np.array_equal(arrived, as_array(image).ravel(), equal_nan=True):
            return interop
    except (CudaError, AttributeError, moderngl.Error):
        pass
    finally:
        texture.release()
    with contextlib.suppress(CudaError, AttributeError):
        interop.close()
    return None


def _load_runtime() -> ctypes.CDLL:
    """The CUDA runtime that torch has loaded already. Raises OSError."""
    import torch

    major = (torch.version.cuda or "0").split(".")[0]
    return ctypes.CDLL(f"cudart64_{major}.dll" if sys.platform == "win32" else f"libcudart.so.{major}")

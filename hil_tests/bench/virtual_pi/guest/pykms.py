"""Stands in for pykms, and fits picamera2 0.3 to the virtual pipeline of libcamera 0.4.

For the bench alone. picamera2 imports pykms to show previews on a screen, which nobody does here;
that makes this the one module of ours that it loads by itself. What the pipeline lacks, and what
is done about it:

- It has no raw stream, from whose modes picamera2 learns the sensor's: its viewfinder's are given.
- It wants the two planes of NV12 apart; picamera2 allocates one: DmaAllocator.allocate is ours.
- It gives NV12 only, while picamera2's encoders take RGB: buffers are converted as they are read.
- It fills a frame at once, so that all are done before picamera2 is ready to queue them again, and
  starves: a frame is kept back for as long as a real sensor would take for it.
- It never says whether a frame is good (the memory for that stays as it was found), and picamera2
  drops those that are not: all are good.
- There is no H.264 encoder in hardware, as on a Pi 5: libav's takes its place.
- It has no controls: the one that sets the rate is announced, and rules how long that is.
"""

import mmap
import time
from types import SimpleNamespace
from typing import Any

import libcamera
import numpy as np
from libcamera import controls
from picamera2 import encoders
from picamera2.allocators import DmaAllocator

#: Bytes of a pixel in each format that picamera2 can be asked for, by what they hold.
FORMATS = {"BGR888": "rgb", "RGB888": "bgr", "XBGR8888": "rgbx", "XRGB8888": "bgrx"}
DEFAULT_PERIOD_US = 33_333


class _AnyName:
    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _AnyName()


class Picture:
    """One NV12 buffer that shows itself as RGB; converted only when somebody looks."""

    def __init__(self, memory: mmap.mmap, size: tuple[int, int], form: str) -> None:
        self._memory = memory
        self._size = size
        self._form = form

    def __array__(self, dtype: object = None, copy: object = None) -> Any:
        """Convert by ITU-R BT.601, limited range."""
        width, height = self._size
        nv12 = np.frombuffer(self._memory, np.uint8).astype(np.int32)
        luma = (nv12[: width * height].reshape(height, width) - 16) * 298 + 128
        chroma = nv12[width * height :].reshape(height // 2, width // 2, 2) - 128
        u, v = chroma.repeat(2, axis=0).repeat(2, axis=1).transpose(2, 0, 1)
        channels = {
            "r": luma + 409 * v,
            "g": luma - 100 * u - 208 * v,
            "b": luma + 516 * u,
            "x": np.full_like(luma, 255 << 8),
        }
        pixels = np.stack([channels[one] >> 8 for one in FORMATS[self._form]], axis=-1)
        return pixels.clip(0, 255).astype(np.uint8).reshape(-1)


class Sync:
    """What picamera2 enters to read a buffer."""

    def __init__(self, allocator: Any, buffer: Any, write: bool) -> None:
        memory, size = allocator.memory[buffer.planes[0].fd]
        form = allocator.form
        self._readable = Picture(memory, size, form) if form in FORMATS else memory

    def __enter__(self) -> Any:
        return self._readable

    def __exit__(self, *_: object) -> None:
        pass

    def get_buffer(self) -> Any:
        return self._readable


def allocate(self: Any, configuration: Any, use_case: object) -> None:
    self.sync = Sync
    self.memory = {}
    self.frame_buffers = {}
    for stream in configuration:
        luma = stream.size.width * stream.size.height
        buffers = []
        for number in range(stream.buffer_count):
            descriptor = self.dmaHeap.alloc(f"bench-{number}", stream.frame_size)
            self.open_fds.append(descriptor.get())
            planes = [libcamera.FrameBuffer.Plane(), libcamera.FrameBuffer.Plane()]
            for plane, offset, length in zip(
                planes, (0, luma), (luma, stream.frame_size - luma), strict=True
            ):
                plane.fd, plane.offset, plane.length = descriptor.get(), offset, length
            buffers.append(libcamera.FrameBuffer(planes))
            self.memory[buffers[-1].planes[0].fd] = (
                mmap.mmap(descriptor.get(), stream.frame_size),
                (stream.size.width, stream.size.height),
            )
        self.frame_buffers[stream.stream] = buffers


def keep_back(self: Any, buffers: object) -> None:
    """Hold a finished frame until its time; called once for each, before it is handed on."""
    pace.due_s += pace.period_us / 1e6
    time.sleep(max(0.0, pace.due_s - time.monotonic()))
    pace.due_s = max(pace.due_s, time.monotonic() - pace.period_us / 1e6)


DmaAllocator.allocate = allocate
DmaAllocator.acquire = keep_back
DmaAllocator.release = lambda self, buffers: None
DmaAllocator.cleanup = lambda self: None
DmaAllocator.form = "NV12"

pace = SimpleNamespace(period_us=DEFAULT_PERIOD_US, due_s=0.0)
camera_generate = libcamera.Camera.generate_configuration
camera_start = libcamera.Camera.start


def generate_configuration(self: Any, roles: list[Any]) -> Any:
    from picamera2 import picamera2  # noqa: PLC0415 - it is still being imported while this module is

    picamera2.Picamera2._update_stream_config = update_stream_config
    viewfinder = libcamera.StreamRole.Viewfinder
    return camera_generate(
        self, [viewfinder if one == libcamera.StreamRole.Raw else one for one in roles]
    )


def update_stream_config(self: Any, ours: dict[str, Any], theirs: Any) -> None:
    form = ours["format"] if ours["format"] in FORMATS else "NV12"
    width, height = theirs.size.width, theirs.size.height
    stride = width * len(FORMATS.get(form, "y"))
    length = theirs.frame_size if form == "NV12" else stride * height
    ours.update(format=form, size=(width, height), stride=stride, framesize=length)
    self.allocator.form = form


def start(self: Any, wanted: dict[Any, Any]) -> None:
    pace.period_us = wanted.pop(controls.FrameDurationLimits, [DEFAULT_PERIOD_US])[0]
    pace.due_s = time.monotonic()
    camera_start(self, wanted)


libcamera.Camera.generate_configuration = generate_configuration
libcamera.Camera.start = start
libcamera.Camera.controls = property(
    lambda self: {
        controls.FrameDurationLimits: SimpleNamespace(
            min=1000, max=10_000_000, default=DEFAULT_PERIOD_US
        )
    }
)
libcamera.FrameMetadata.status = property(lambda self: libcamera.FrameMetadata.Status.Success)
encoders.H264Encoder = encoders.LibavH264Encoder

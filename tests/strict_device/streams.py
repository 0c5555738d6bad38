"""The stand-in's streams: work is done at once, or recorded while a stream is being captured."""

import itertools
import threading
import weakref

from strict_device.memory import DeviceFault, default_pool


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime's."""


class Log:
    """What the device was asked to do since the last reset.

    Attributes:
        launches: The names of what was launched, one by one; a graph's launch is one.
        syncs: What made the host wait for the device.
        uploads: Copies from the host, by the name of what copied.
        downloads: Copies to the host.
        nodes: How many pieces of work the graphs replayed.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        self.launches, self.syncs, self.uploads, self.downloads = [], [], [], []
        self.nodes = 0


log = Log()
_thread = threading.local()
_numbers = itertools.count(1)
_streams = weakref.WeakValueDictionary()


class Recording:
    """The work of a capture, and the streams that take part in it."""

    def __init__(self, origin):
        self.origin = origin
        self.joined = {origin}
        self.pending = set()  # joined streams with work that the origin has not waited for
        self.work = []  # (name, run, references to allocations)
        self.broken = None


class Stream:
    """As cupy.cuda.Stream; the null stream is `Stream.null`."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else next(_numbers) << 16
        self.non_blocking = non_blocking
        self.recording = None
        self.before = []
        _streams[self.ptr] = self

    @property
    def is_non_blocking(self):
        return self.non_blocking

    def use(self):
        _thread.stream = self
        return self

    def __enter__(self):
        self.before.append(get_current_stream())
        return self.use()

    def __exit__(self, *_):
        _thread.stream = self.before.pop()

    @property
    def done(self):
        refuse_in_capture(self, "stream.done")
        return True

    def synchronize(self):
        refuse_in_capture(self, "stream.synchronize()")
        log.syncs.append("stream.synchronize")

    def is_capturing(self):
        return self.recording is not None

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        recording = event.recording
        if recording is None:
            return  # work outside of a capture was done at once
        if recording.origin.recording is not recording:
            raise CUDARuntimeError("cudaErrorStreamCaptureIsolation: the event's capture is over")
        if self.recording is None:
            self.recording = recording
            recording.joined.add(self)
        elif self.recording is not recording:
            raise CUDARuntimeError("cudaErrorStreamCaptureMerge: two captures would become one")
        if self is recording.origin:
            recording.pending.discard(event.stream)

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if not self.non_blocking:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureImplicit: capture on a blocking stream; "
                "make it with Stream(non_blocking=True)"
            )
        if self.recording is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is capturing already")
        self.recording = Recording(self)

    def end_capture(self):
        recording = self.recording
        if recording is None:
            raise RuntimeError("the stream is not capturing")
        if recording.origin is not self:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnmatched: begun on another stream")
        for stream in recording.joined:
            stream.recording = None
        if recording.broken:
            raise CUDARuntimeError(f"cudaErrorStreamCaptureInvalidated: {recording.broken}")
        if recording.pending:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnjoined: wait for the other stream")
        return Graph(recording)


Stream.null = Stream(null=True)


class Event:
    """As cupy.cuda.Event."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.recording = self.stream = None

    def record(self, stream=None):
        self.stream = get_current_stream() if stream is None else stream
        self.recording = self.stream.recording

    @property
    def done(self):
        if self.recording is not None:
            raise CUDARuntimeError("cudaErrorCapturedEvent: the event is a node of a capture")
        return True

    def synchronize(self):
        if self.recording is not None:
            raise CUDARuntimeError("cudaErrorCapturedEvent: the event is a node of a capture")
        log.syncs.append("event.synchronize")


class Graph:
    """As cupy.cuda.Graph: recorded work, to be done again on the same memory."""

    def __init__(self, recording):
        self._work = recording.work

    def launch(self, stream=None):
        stream = get_current_stream() if stream is None else stream
        refuse_in_capture(stream, "graph.launch(): a graph in a capture")
        log.launches.append("graph")
        log.nodes += len(self._work)
        for name, run, uses in self._work:
            for use, pool in uses:
                if use() is None and (pool is default_pool or pool() is None):
                    raise DeviceFault(f"the graph's {name} uses memory that has been freed")
            run()

    def upload(self, stream=None):
        pass

    def debug_dot_str(self, flags=0):
        names = [name for name, _, _ in self._work]
        nodes = [f'{i} [label="{name}"]' for i, name in enumerate(names)]
        return "digraph {\n" + "\n".join(nodes) + "\n}\n"


def get_current_stream(device_id=-1):
    return getattr(_thread, "stream", Stream.null)


def stream_at(ptr):
    """The stream that a library was given by its address."""
    found = _streams.get(int(ptr))
    if found is None:
        raise CUDARuntimeError(f"cudaErrorInvalidResourceHandle: no stream {ptr}")
    return found


def refuse_in_capture(stream, what, error=CUDARuntimeError):
    """A wait or a copy between host and device ends a capture in an error."""
    if stream.recording is not None:
        stream.recording.broken = stream.recording.broken or what
        raise error(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is captured")


def capturing():
    """Whether the work of this thread is being recorded."""
    return get_current_stream().recording is not None


def work(name, run, allocations, stream=None):
    """Give the device something to do: `run` is called now, or at each launch of a graph."""
    stream = get_current_stream() if stream is None else stream
    recording = stream.recording
    if recording is None:
        log.launches.append(name)
        run()
        return
    if stream is not recording.origin:
        recording.pending.add(stream)
    uses = [
        (
            weakref.ref(memory),
            memory.pool if memory.pool is default_pool else weakref.ref(memory.pool),
        )
        for memory in allocations
    ]
    recording.work.append((name, run, uses))


def waits(what):
    """The host waits for the device, to read from it."""
    refuse_in_capture(get_current_stream(), what)
    log.syncs.append(what)


def end_captures():
    """End what a test left unfinished, and say whether there was something."""
    left = [stream for stream in list(_streams.values()) if stream.recording is not None]
    for stream in left:
        stream.recording = None
    return bool(left)

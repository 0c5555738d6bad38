"""The stand-in's streams: work is done at once, or late, or recorded by a capture.

At once is as early as a GPU could do it. Late is when the host waits for it and not before, and so
shows what nobody has waited for: a stream that reads what another one writes, a buffer of the
host that is written to again while a copy from it is still to come.
"""

import collections
import itertools
import threading
import weakref

from strict_device import memory
from strict_device.memory import DeviceFault, default_pool

STATUS = {
    1: "cudaErrorInvalidValue: invalid argument",
    700: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    719: "cudaErrorLaunchFailure: unspecified launch failure",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during "
    "capture",
    903: "cudaErrorStreamCaptureUnmatched: capture was not initiated in this stream",
    907: "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a "
    "capturing stream",
}


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime's, which knows the words to CUDA's number; it also takes the words."""

    def __init__(self, status):
        super().__init__(STATUS[status] if isinstance(status, int) else status)
        self.status = status


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


class Settings:
    """How the stand-in behaves.

    Attributes:
        late: Whether work is done when the host waits for it, and not at once.
    """

    late = False


log = Log()
settings = Settings()
_numbers = itertools.count(1)
_streams = weakref.WeakValueDictionary()


class Recording:
    """The work of a capture, and the streams that take part in it."""

    def __init__(self, origin):
        self.origin = origin
        self.joined = {origin}
        self.pending = set()  # joined streams with work that the origin has not waited for
        self.work = []  # (name, run, references to allocations, their blocks and pools)
        self.is_broken = False


class Stream:
    """As cupy.cuda.Stream; the null stream is `Stream.null`."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else next(_numbers) << 16
        self.non_blocking = non_blocking
        self.recording = None
        self.queue = collections.deque()  # late work
        self.given = self.finished = 0  # how much of it there was, and has been done
        _streams[self.ptr] = self

    def __hash__(self):
        return hash(self.ptr)

    def __eq__(self, other):
        return self.ptr == other.ptr

    def use(self):
        _current.stream = self  # and not on the stack, so that the next __exit__ forgets it
        return self

    def __enter__(self):
        _current.entered.append(self)
        return self.use()

    def __exit__(self, *_):
        _current.entered.pop()
        _current.entered[-1].use()

    @property
    def done(self):
        refuse_in_capture(self)
        return not self.queue

    def synchronize(self):
        refuse_in_capture(self)
        log.syncs.append("stream.synchronize")
        self.finish()

    def submit(self, run):
        """Have something done, without a word in the log."""
        if not settings.late:
            run()
            return
        for other in () if self.non_blocking else list(_streams.values()):
            # the null stream and the blocking ones wait for each other
            if other is not self and not other.non_blocking and 0 in (self.ptr, other.ptr):
                self.wait_for(other, other.given)
        self.queue.append(run)
        self.given += 1

    def wait_for(self, other, count):
        self.queue.append(lambda: other.finish(count))
        self.given += 1

    def finish(self, count=None):
        """Do the late work, up to what had been given when there were so many pieces of it."""
        count = self.given if count is None else count
        while self.finished < count and self.queue:
            self.finished += 1
            self.queue.popleft()()

    def is_capturing(self):
        if self.recording is not None and self.recording.is_broken:
            raise RuntimeError(
                "the stream was capturing, but an error has invalidated the capture sequence"
            )
        return self.recording is not None

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        recording = event.recording
        if recording is None:
            if self.recording is not None and event.stream is not None:
                raise CUDARuntimeError(
                    "cudaErrorStreamCaptureIsolation: the event was recorded outside the capture"
                )
            if event.stream is not None and settings.late:
                self.wait_for(event.stream, event.count)
            return
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
            raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed")
        if recording.origin is not self:
            raise CUDARuntimeError(903)
        for stream in recording.joined:
            stream.recording = None
        if recording.is_broken:
            raise CUDARuntimeError(901)
        if recording.pending:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnjoined: wait for the other stream")
        return Graph(recording)


Stream.null = Stream(null=True)


class Current(threading.local):
    """A thread's current stream, and the streams that `with` has entered, as CuPy keeps them."""

    def __init__(self):
        self.stream, self.entered = Stream.null, [Stream.null]


_current = Current()


def forget_streams():
    """Make the null stream current, as at the beginning of a thread."""
    _current.__init__()


class Event:
    """As cupy.cuda.Event."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.recording = self.stream = None
        self.count = 0

    def record(self, stream=None):
        self.stream = get_current_stream() if stream is None else stream
        self.recording, self.count = self.stream.recording, self.stream.given

    @property
    def done(self):
        self._not_in_capture()
        return self.stream is None or self.stream.finished >= self.count

    def synchronize(self):
        self._not_in_capture()
        log.syncs.append("event.synchronize")
        if self.stream is not None:
            self.stream.finish(self.count)

    def _not_in_capture(self):
        if self.recording is not None:
            raise CUDARuntimeError(907)


class Graph:
    """As cupy.cuda.Graph: recorded work, to be done again on the same memory."""

    def __init__(self, recording):
        self._work = recording.work

    def launch(self, stream=None):
        stream = get_current_stream() if stream is None else stream
        refuse_in_capture(stream)
        log.launches.append("graph")
        log.nodes += len(self._work)
        for name, _, uses in self._work:
            for allocation, block, pool in uses:
                # what its own pool still has serves nobody else
                if allocation() is None and (block() is None or pool() is default_pool):
                    raise DeviceFault(f"the graph's {name} uses memory that has been freed")
        runs = [run for _, run, _ in self._work]

        def replay():
            for run in runs:
                run()

        stream.submit(replay)

    def debug_dot_str(self, flags=0):
        names = [name for name, _, _ in self._work]
        nodes = [  # as CUDA writes those of kernels; all of the stand-in's are some
            f'"graph_1_node_{i}"[style="bold" shape="octagon" label="{i}\n{name}\n"];'
            for i, name in enumerate(names)
        ]
        return "\n".join(["digraph dot {", "subgraph cluster_1 {", *nodes, "}", "}"]) + "\n"


def get_current_stream(device_id=-1):
    return _current.stream


def in_a_thread(function):
    """What a function returns in a thread of its own, which begins with the null stream."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def stream_at(ptr):
    """The stream that a library was given by its address."""
    found = _streams.get(int(ptr))
    if found is None:
        raise CUDARuntimeError(f"cudaErrorInvalidResourceHandle: no stream {ptr}")
    return found


def refuse_in_capture(stream):
    """CUDA's answer to a wait while the stream is captured, which spoils the capture."""
    if stream.recording is not None:
        stream.recording.is_broken = True
        raise CUDARuntimeError(900)


def refuse_copy(stream, way):
    """CuPy's answer to a copy from or to the host, before CUDA is asked; the capture goes on."""
    if stream.is_capturing():
        raise RuntimeError(f"the current stream is capturing, so {way} transfers are disallowed")


def capturing():
    """Whether the work of this thread is being recorded."""
    return get_current_stream().recording is not None


def work(name, run, allocations, stream=None):
    """Give the device something to do: `run` is called now, or at each launch of a graph."""
    stream = get_current_stream() if stream is None else stream
    recording = stream.recording
    if recording is None:
        log.launches.append(name)
        stream.submit(run)
        return
    if stream is not recording.origin:
        recording.pending.add(stream)
    allocations = [allocation.root for allocation in allocations]
    uses = [(weakref.ref(one), weakref.ref(one.block), one.pool) for one in allocations]
    recording.work.append((name, run, uses))
    for allocation in allocations:
        allocation.block.recorded = True


def waits(what):
    """The host waits for the device, to read from it."""
    refuse_copy(get_current_stream(), "D2H")
    log.syncs.append(what)
    get_current_stream().finish()


def without_values():
    """Whether what a call gives must be known before the call is made."""
    return settings.late or capturing()


def finish_all():
    """Do all late work."""
    while any(stream.queue for stream in list(_streams.values())):
        for stream in list(_streams.values()):
            stream.finish()


def silently(run):
    """Prepare memory in the order of the current stream's work; it is no launch."""
    get_current_stream().submit(run)


memory.silently = silently
memory.current_stream = lambda: get_current_stream().ptr


def end_captures():
    """End what a test left unfinished, and say whether there was something."""
    left = [stream for stream in list(_streams.values()) if stream.recording is not None]
    for stream in left:
        stream.recording = None
    return bool(left)

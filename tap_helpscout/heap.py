"""The allocator of the C library, set for threads that each hold a large response for a moment."""

import contextlib
import ctypes

# From glibc's malloc.h; a C library without mallopt has nothing to set.
M_ARENA_MAX = -8
M_MMAP_THRESHOLD = -3

# measured: above this, holes that others leave are reused; below, a run of 50,000 conversations
# holds 15 MiB more at its end
MMAP_THRESHOLD_BYTES = 16 * 1024


def share_one_heap() -> None:
    """Lets all threads share one heap, and gives large blocks back at once.

    Else glibc gives each thread a heap of its own, in which large responses leave ever more holes.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)

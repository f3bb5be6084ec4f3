"""The CPU engine's kernels under sanitizers: no fault of memory, no undefined behaviour, no race.

    make sanitize                                     everything
    python -m bench.sanitize --cells lstm,gru --kind thread

Each kernel's source becomes a program: every buffer stands on the heap in exactly its size, what
the kernel is to write is filled with NaN, and all functions run, at odd sizes, ragged, both ways
and with threads. What is left NaN after a call is a finding too. The address and the
undefined-behaviour sanitizer see the whole catalogue; the thread sanitizer, which does not know
OpenMP, sees some cells on std::thread.
"""

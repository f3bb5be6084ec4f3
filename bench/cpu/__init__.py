"""The CPU engine beside its peers: equal first, then timed in turns, in one run.

    make bench
    python -m bench.cpu [--only grid step] [--quick] [--threads 2] [--out bench/results]

`cases` says what is measured, `sides` and the files of the peers how each computes it, `check` that
they agree, `timing` how long they take, `figures` and `report` what came of it.
"""

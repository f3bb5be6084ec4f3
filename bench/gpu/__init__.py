"""What the GPU engine takes beside its peers: equal first, then timed in turns, in one run.

    make bench-gpu
    PYTHONPATH=src python3 -m bench.gpu [--only inside heads] [--minutes 8.5] [--out FOLDER]
    PYTHONPATH=src python3 -m bench.gpu --dry

`cases` says what is measured, the most important first; `sides` and `loops` how each side computes
it, `check` that they agree, `timing` how long they take, `floor` the least that it can take. Cases
run in one process, which is replaced if a case breaks or hangs. One file comes of it, FOLDER/
DEVICE.json: its `table` is for reading. `--dry` proves the scripts on a machine without a GPU: tiny
sizes on the CPU, kernels in Triton's interpreter, times that mean nothing.
"""

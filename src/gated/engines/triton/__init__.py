"""The GPU engine: a cell's loop as generated Triton."""

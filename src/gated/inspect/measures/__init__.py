"""Measures on traces of gates and states, one file each."""

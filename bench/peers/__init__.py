"""The other side of each comparison: bounds, plain scripts and peers, each a process that does one kind of run."""

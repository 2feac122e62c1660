"""Measured side by side: the stages against their bounds and their peers. Start at docs/performance.md."""

"""The running system, attacked on purpose: one fault at a time, pairs of them, and half an hour of whatever comes."""

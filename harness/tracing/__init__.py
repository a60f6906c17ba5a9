"""Timelines: what the kernel saw a program do, as lanes in time."""

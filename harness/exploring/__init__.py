"""Runs a program under every schedule of its threads that there is within bounds, or under many by chance."""

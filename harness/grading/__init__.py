"""Selects checks, runs them, and writes what they found. Nothing here knows a lab."""

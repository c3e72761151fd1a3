"""Transforms: functions from graphs to graphs, and the interpreter."""

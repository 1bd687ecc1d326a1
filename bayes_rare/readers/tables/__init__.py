"""Evaluation tables, in files and in frames of any engine."""

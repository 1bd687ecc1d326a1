"""Logs of Inspect, lm-evaluation-harness and garak."""

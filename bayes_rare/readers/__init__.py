"""Readers of evaluations: tables, the shipped sample, and logs of other tools."""

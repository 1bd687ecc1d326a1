"""Checks of convergence and of tails."""

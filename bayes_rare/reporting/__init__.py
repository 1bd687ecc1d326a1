"""A report on a posterior: one HTML file for the person who decides on a release."""

from bayes_rare.reporting.page import Report, report

__all__ = ["Report", "report"]

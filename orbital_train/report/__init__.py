"""Plots, tables and the HTML report, from run directories alone."""

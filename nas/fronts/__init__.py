"""Pareto fronts as users see them: members, files, plots."""

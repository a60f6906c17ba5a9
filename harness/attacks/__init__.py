"""Submissions that attack the grader, and what grades them."""

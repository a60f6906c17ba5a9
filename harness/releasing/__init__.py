"""What students and grading services receive of this repository."""

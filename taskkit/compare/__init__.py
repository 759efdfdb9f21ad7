"""What is behind a number: intervals, tests of differences, and which numbers may be compared. Without torch."""

"""The drift between two groups: its value, floor, estimate, interval, p-value and verdict."""

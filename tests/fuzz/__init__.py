"""Everything that reads bytes from outside, under bytes that nobody meant: only our own errors may come out.

python -m tests.fuzz TARGET --seconds N
"""

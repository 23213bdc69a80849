"""Fuzzing of everything that reads external bytes: malformed input may raise our own errors only. Run as a command:

python -m tests.fuzz TARGET --seconds N
"""

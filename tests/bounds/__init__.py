"""A worker's memory under input that is made to fill it.

python -m tests.bounds --records N
"""

"""A campaign: producers, workers and brokers under faults drawn from a seed, and a proof that nothing was lost.

python -m tests.campaign --minutes N --seed S [--nodes 3] [--workers 3] [--scope topic|partition]
"""

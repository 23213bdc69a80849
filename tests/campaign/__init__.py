"""Campaign: producers, workers and brokers under random faults, and a check that no record is lost. Run as a command:

python -m tests.campaign --minutes N --seed S [--nodes 3] [--workers 3] [--scope topic|partition]
"""

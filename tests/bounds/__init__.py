"""Memory bounds of a worker under adversarial input. Run as a command:

python -m tests.bounds --records N
"""

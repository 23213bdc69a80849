__version__ = "0.1.0"

MODEL_VERSION = 1
"""Version of everything that decides a model's bits: kernels, presets, codec, order of applying, waiting instances and
truths. Two releases with the same model version compute the same from the same journal. Version 0 is that of releases
before model versions."""

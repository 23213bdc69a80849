"""Golden snapshots: a task and a classifier as each model version wrote them, which the version after must read."""

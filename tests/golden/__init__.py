"""Golden figures: what the default learner reaches on each real stream, from the first row to the last."""

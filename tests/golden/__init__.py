"""Golden figures of the default learner on the real streams, and golden states of fixed runs."""

"""Public schema of the records on the topics, as pydantic models, one module per kind of record.

Some models only document the format, for users and for tests; the running code reads and writes these records with
msgspec for speed, in `codec`. Others are part of the running code:

- `instance.Instance`, `label.Label`: the input format. Documentation and tests only: records are decoded and checked by
  `codec.decode`, which also enforces the limits of the settings. A property test holds that both accept the same
  records within these limits.
- `prediction.Prediction`, `event.Event`: the output format. Documentation and tests only: `codec.encode` and
  `engine.tasks.event_records` build the records; tests read them back with these models.
- `metrics.Metrics`: builds the records of the metrics topic.
- `dead_letter.DeadLetter`: reads the headers of dead letters, for the ``dead-letters`` commands; the engine writes the
  headers in `engine.tasks.dead_letter_records`.
- `size`: the maximum size of the records that we write.
"""

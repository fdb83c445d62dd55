"""The model worker: one confined process per model, which loads it and runs it."""

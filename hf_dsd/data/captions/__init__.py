"""Pictures with captions: reading, batching."""

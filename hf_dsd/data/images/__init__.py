"""Pictures with a class each: IDX files, and what a network sees of a picture."""

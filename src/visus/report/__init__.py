"""Evidence to look at: figures, one self-contained HTML file, the annotated digest page."""

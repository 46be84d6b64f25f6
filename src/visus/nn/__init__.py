"""Pure tensor code that two or more methods use. No engine, no configuration, no files."""

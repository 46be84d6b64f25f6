"""The web app: the catalogue, measured evidence, and predictions with saved models, on this machine."""

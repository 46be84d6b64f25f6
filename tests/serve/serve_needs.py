"""Skips the module that imports this one where the extra `serve` is not installed."""

import pytest

for name in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason='the web app needs: pip install "visus[serve]"')

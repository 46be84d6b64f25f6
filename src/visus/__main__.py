"""`python -m visus`, which also serves `torchrun -m visus`."""

import sys

from visus.cli import main

if __name__ == "__main__":  # data loading and trials may start processes that import this file
    sys.exit(main())

"""The random choices of clients."""

import random

dice = random.Random()  # noqa: S311 - chances, not secrets

"""What clients leave to chance."""

import random

dice = random.Random()  # noqa: S311 - chances, not secrets

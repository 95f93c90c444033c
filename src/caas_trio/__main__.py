"""Run the service: `python -m caas_trio`."""

from .cli import main

if __name__ == "__main__":
    main()

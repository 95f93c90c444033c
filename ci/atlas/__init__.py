"""The atlas: daemons that people run, from Debian's packages, judged by their dialects."""

"""``python -m radrag.cli``."""

from radrag.cli.app import main

main()

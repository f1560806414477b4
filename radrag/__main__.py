"""``python -m radrag``."""

from radrag.cli.app import main

main()

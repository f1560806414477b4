"""A note with its identifiers masked, and the way back from the masked text to the original.

python examples/deidentify_a_note.py [note.txt] [--replace tag|mask|surrogate]

Without a file it masks a note of its own. Rules miss some identifiers: have a person look before text leaves your
hands.
"""

import argparse
from pathlib import Path

from radrag.corpora.deidentify import deidentify
from radrag.errors import RadragError

NOTE = """Mr. Walter Oyelowo (MRN 00482917, DOB 03/14/1951), a 73-year-old man from Tarrytown with Parkinson's disease,
was seen at Harrow Creek Hospital on January 8, 2023 by Dr. Ingrid Halvorsen. CT chest: 6 mm nodule, Fleischner
follow-up in 6 to 12 months. Carbidopa-levodopa 25-100 continued. His wife Beatrice: (914) 555-0148."""


def main() -> None:
    """Mask, list what was found, and find a quote's place in the original."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("note", type=Path, nargs="?")
    parser.add_argument("--replace", choices=["tag", "mask", "surrogate"], default="tag")
    args = parser.parse_args()
    found = deidentify(args.note.read_text(encoding="utf-8") if args.note else NOTE, replace=args.replace)
    print(f"{found.text}\n\n{len(found.spans)} identifiers:")
    for span in found.spans:
        print(f"  {span.start:4}-{span.end:<4} {span.kind:<12} {span.score:.2f}  {span.recogniser}")
    quote = found.text.find("6 mm nodule")
    if quote >= 0:
        start, end = found.to_original(quote, quote + 11)
        print(f"\n'6 mm nodule' stands at {quote} in the masked text and at {start} in the original.")
        assert found.original[start:end] == "6 mm nodule"


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"deidentify_a_note.py: {error}") from error

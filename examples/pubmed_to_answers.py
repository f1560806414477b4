"""An official PubMed XML file (also .gz), indexed and asked.

python examples/pubmed_to_answers.py [FILE.xml.gz] [--question "..."]

Files: https://ftp.ncbi.nlm.nih.gov/pubmed/. Without one it writes itself a tiny made-up file; it runs offline.
"""

import argparse
import tempfile
from pathlib import Path

import radrag as rr
from radrag.errors import RadragError

ARTICLE = """<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><Journal><JournalIssue><PubDate>
<Year>2020</Year></PubDate></JournalIssue><Title>Made-up Journal</Title></Journal><ArticleTitle>{title}</ArticleTitle>
<Abstract><AbstractText Label="METHODS">{methods}</AbstractText><AbstractText Label="RESULTS">{results}</AbstractText>
</Abstract></Article></MedlineCitation></PubmedArticle>"""
MADE_UP = [
    ("900000001", "Low-dose CT for ureteral stones", "Two hundred patients with flank pain had both scans.",
     "Low-dose CT detected 97 of 100 ureteral stones at a quarter of the radiation dose."),
    ("900000002", "Water before knee ultrasound", "Sixty volunteers drank a glass of water.",
     "Drinking water did not change the thickness of the knee cartilage."),
]  # fmt: skip
QUESTION = "Does low-dose CT detect ureteral stones?"


def write_sample(path: Path) -> None:
    """Write made-up articles in PubMed's form."""
    articles = [ARTICLE.format(pmid=p, title=t, methods=m, results=r) for p, t, m, r in MADE_UP]
    path.write_text(f"<PubmedArticleSet>{''.join(articles)}</PubmedArticleSet>", encoding="utf-8")


def main() -> None:
    """Read, index, answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--question", default=QUESTION)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        if args.file is None:
            args.file = Path(folder) / "sample.xml"
            write_sample(args.file)
        report = index.add(rr.read_pubmed(args.file))
        print(f"{report['added']} articles, {len(index)} passages\n")
        print(rr.QAPipeline(index)(args.question))


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"pubmed_to_answers.py: {error}") from error

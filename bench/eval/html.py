"""How good the main content and the metadata of pages are, on the public sets found in a data folder.

The sets are clones of their repositories, whatever the folders are called (docs/extraction.md names sources and licences):

- scrapinghub's article-extraction-benchmark, scored by its own evaluate.py
- Murrough-Foley's web-content-extraction-benchmark (WCXB), scored by its own evaluate.py
- trafilatura's tests: phrases that must and must not be there
- Readability.js' test pages: words of the expected article

`program` is the example `html` of gristmill-content, which reads a list of pages in one process, or the command line
`gristmill`, one page at a time.
"""

import gzip
import importlib.util
import json
import re
import statistics
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import unescape


# Not by the standard library's module html: it may be this one that its name finds.
ENTITIES = {"&nbsp;": " ", "&quot;": '"', "&#39;": "'", "&#039;": "'", "&#x27;": "'"}


def evaluate(data: Path, program: Path) -> dict:
    """The figures of every set that is there, by its name."""
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, root in find_sets(data).items():
            pages, score = SETS[name](root)
            answers, rate = extract(program, pages, Path(folder))
            report[name] = score(answers)
            report[name]["pages"] = len(pages)
            report[name]["failed"] = Counter(a["error"] for a in answers.values() if "error" in a)
            report[name]["pages_per_s"] = rate
    return report


def find_sets(data: Path) -> dict:
    """Where each set lies beneath the data folder, at most two levels down."""
    marks = {
        "scrapinghub": "ground-truth.json",
        "wcxb": "dev/ground-truth",
        "trafilatura": "tests/evaldata.json",
        "readability": "test/test-pages",
    }
    roots = [data, *sorted(p for pattern in ("*/", "*/*/") for p in data.glob(pattern) if p.is_dir())]
    return {name: root for name, mark in marks.items() for root in roots[::-1] if (root / mark).exists()}


def extract(program: Path, pages: list, folder: Path) -> tuple:
    """What the program makes of each page, and pages per second of reading alone (none for one process a page)."""
    for number, page in enumerate(pages):
        page["path"] = str(folder / f"{number}.html")
        Path(page["path"]).write_bytes(page.pop("bytes"))
    if program.name != "gristmill":
        manifest, out = folder / "manifest.jsonl", folder / "out.jsonl"
        manifest.write_text("".join(json.dumps({k: p[k] for k in ("id", "path", "url")}) + "\n" for p in pages))
        subprocess.run([program, "extract", manifest, out], check=True, stderr=subprocess.DEVNULL)
        lines = [json.loads(line) for line in out.read_text().split("\n") if line]
        return {line["id"]: line for line in lines}, round(len(lines) / sum(line["seconds"] for line in lines))
    answers = {}
    for page in pages:
        command = [program, "extract", page["path"], "--format", "json"]
        command += ["--url", page["url"]] if page["url"].startswith("http") else []
        run = subprocess.run(command, capture_output=True, check=False)
        if run.returncode == 0:
            answers[page["id"]] = {"extracted": json.loads(run.stdout)}
        else:
            answers[page["id"]] = {"error": json.loads(run.stderr.splitlines()[-1] or b"{}").get("code", "unknown")}
    return answers, None


def body(answer: dict) -> str:
    """The main content without the title, which the sets do not count as part of it."""
    found = answer.get("extracted")
    if not found:
        return ""
    text, blocks, title = found["text"], found["blocks"], found["metadata"].get("title")
    first = blocks[0] if blocks else None
    if first and first["kind"]["type"] == "heading" and folded(text[first["start"]:first["end"]]) == folded(title):
        return text[first["end"]:].strip()
    return text


def folded(text) -> str:
    """Letters and digits in lower case."""
    return "".join(c for c in (text or "").lower() if c.isalnum())


def load(path: Path):
    """A script of a data set as a module."""
    spec = importlib.util.spec_from_file_location("scorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scrapinghub(root: Path) -> tuple:
    """Four-word shingles of the article's body."""
    truth = json.loads((root / "ground-truth.json").read_text())
    pages = [
        {"id": key, "url": entry.get("url", ""), "bytes": gzip.decompress((root / "html" / f"{key}.html.gz").read_bytes())}
        for key, entry in truth.items()
    ]

    def score(answers):
        prediction = {key: {"articleBody": body(answers[key])} for key in truth}
        metrics = load(root / "evaluate.py").evaluate(truth, prediction, n_bootstrap=0)
        return {name: round(metrics[name], 4) for name in ("f1", "precision", "recall", "accuracy")}

    return pages, score


def wcxb(root: Path) -> tuple:
    """Words of the main content by page type, and exact metadata."""
    entries = {}
    for split in ("dev", "test"):
        for path in sorted((root / split / "ground-truth").glob("*.json")):
            entries[f"{split}/{path.stem}"] = json.loads(path.read_text())
    pages = [
        {
            "id": key,
            "url": entry.get("url") or "",
            "bytes": gzip.decompress((root / key.split("/")[0] / "html" / f"{key.split('/')[1]}.html.gz").read_bytes()),
        }
        for key, entry in entries.items()
    ]

    def score(answers):
        scorer = load(root / "evaluate.py")
        # 139 pages of `test` are in `dev` as well, which ours has learned from: `unseen` is `test` without them.
        learned = {name for key, entry in entries.items() if key.startswith("dev/") for name in (key[4:], entry.get("url"))}
        by = {}
        for key, entry in entries.items():
            truth = entry["ground_truth"].get("main_content") or ""
            precision, recall, f1 = scorer.word_f1(body(answers[key]), truth)
            groups = ["all", key.split("/")[0], scorer.get_page_type(entry)]
            if key.startswith("test/") and not {key[5:], entry.get("url")} & (learned - {None, ""}):
                groups.append("unseen")
            for group in groups:
                by.setdefault(group, []).append((f1, precision, recall))
        figures = {group: round(statistics.mean(f1 for f1, _, _ in rows), 4) for group, rows in by.items()}
        figures["precision"] = round(statistics.mean(row[1] for row in by["all"]), 4)
        figures["recall"] = round(statistics.mean(row[2] for row in by["all"]), 4)
        for split in ("dev", "test", ""):
            some = {key: entry for key, entry in entries.items() if key.startswith(split)}
            figures[f"metadata {split}".strip()] = metadata(some, answers)
        return figures

    return pages, score


def metadata(entries: dict, answers: dict) -> dict:
    """Shares of titles, authors and dates that are exact, of those that are known: letter case and white space aside."""
    hits, known = Counter(), Counter()
    for key, entry in entries.items():
        found = answers[key].get("extracted", {}).get("metadata", {})
        truth = entry["ground_truth"]
        pairs = {
            "title": (plain(truth.get("title")), plain(found.get("title"))),
            "author": (plain(truth.get("author")), plain(found.get("author"))),
            "date": ((truth.get("publish_date") or "")[:10], (found.get("created") or "")[:10]),
        }
        for name, (expected, got) in pairs.items():
            known[name] += bool(expected)
            hits[name] += bool(expected) and expected == got
    return {name: round(hits[name] / known[name], 4) for name in known}


def plain(text) -> str:
    """A value without differences that no reader would see."""
    unified = (text or "").replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"').replace("–", "-")
    return " ".join(unescape(unified, ENTITIES).split()).lower()


def trafilatura(root: Path) -> tuple:
    """Phrases: those that must be there and are (recall), those there that must be (precision)."""
    tests = root / "tests"
    entries = {}
    for url, entry in json.loads((tests / "evaldata.json").read_text()).items():
        paths = [tests / folder / entry["file"] for folder in ("cache", "eval")]
        if path := next((path for path in paths if path.is_file()), None):
            entries[url] = (entry, path)
    pages = [{"id": url, "url": url, "bytes": path.read_bytes()} for url, (_, path) in entries.items()]

    def score(answers):
        found = wanted = wrong = 0
        for url, (entry, _) in entries.items():
            text = " ".join((answers[url].get("extracted") or {}).get("text", "").split())
            there = lambda phrase: " ".join(phrase.split()) in text
            wanted += len(entry["with"])
            found += sum(map(there, entry["with"]))
            wrong += sum(map(there, entry["without"]))
        precision, recall = found / max(found + wrong, 1), found / max(wanted, 1)
        return {
            "f1": round(2 * precision * recall / (precision + recall), 4),
            "precision": round(precision, 4),
            "recall": round(recall, 4),
        }

    return pages, score


def readability(root: Path) -> tuple:
    """Words of the article that Readability.js is expected to find."""
    folders = sorted(path for path in (root / "test" / "test-pages").iterdir() if (path / "expected.html").is_file())
    pages = [
        {"id": path.name, "url": "http://fakehost/test/page.html", "bytes": (path / "source.html").read_bytes()}
        for path in folders
    ]

    def score(answers):
        figures = []
        for path in folders:
            markup = re.sub(r"<[^>]*>", " ", (path / "expected.html").read_text())
            expected = Counter(re.findall(r"\w+", unescape(markup, ENTITIES).lower()))
            got = Counter(re.findall(r"\w+", body(answers[path.name]).lower()))
            common = (expected & got).total()
            figures.append(2 * common / max(expected.total() + got.total(), 1))
        return {"f1": round(statistics.mean(figures), 4)}

    return pages, score


SETS = {"scrapinghub": scrapinghub, "wcxb": wcxb, "trafilatura": trafilatura, "readability": readability}

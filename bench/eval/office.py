"""Office documents, books and mails: how much of their text is found, beside other readers.

Two kinds of files are read. *Made* ones are written here with python-docx, python-pptx, openpyxl, odfpy, EbookLib and
the standard library from text that is known. *Found* ones lie in `DATA/office/<docx|pptx|xlsx|odt|epub|eml|csv>/`; their
text is what the same Python libraries find in them. `docs/extraction.md` says which files were used.

    pip install python-docx python-pptx openpyxl odfpy EbookLib beautifulsoup4 lxml
    pip install pypandoc-binary kreuzberg 'markitdown[docx,pptx,xlsx]' python-calamine       # the others; optional
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __package__:
    from . import office_made as made, office_truth as truth
else:
    import office_made as made
    import office_truth as truth

KINDS = ("docx", "pptx", "xlsx", "odt", "epub", "eml", "csv")


def evaluate(data: Path, program: Path) -> dict:
    """F1 of text by kind of document, for made and found files, for us and for whoever else is installed."""
    with tempfile.TemporaryDirectory() as folder:
        sets = {"made": made.write(Path(folder)), "found": found(data / "office")}
        report = {}
        for name, files in sets.items():
            for kind in KINDS:
                cases = [case for case in files if case[0] == kind]
                if cases:
                    report.setdefault(kind, {})[name] = compared(kind, cases, program)
        return report


def found(folder: Path):
    """Files with what Python's libraries find in them; those they cannot open, and those without text, are left out."""
    cases = []
    for kind in KINDS:
        for path in sorted((folder / kind).glob("*")):
            # Python reads these as what they are not.
            if kind == "eml" and ("malformed" in path.name or "utf-16" in path.name):
                continue
            try:
                text = truth.text(kind, path)
            except Exception:  # whatever a library throws at a file that is broken on purpose
                continue
            if len(truth.tokens(text)) >= 5:
                cases.append((kind, path, text))
    return cases


def compared(kind: str, cases: list, program: Path) -> dict:
    """The scores of each reader over the same files. One that fails at a file has found nothing in it."""
    readers = {"gristmill": lambda path: ours(program, path), **others(kind)}
    report = {"files": len(cases)}
    for name, read in readers.items():
        scores, failed, took = [], [], 0.0
        for _, path, text in cases:
            started = time.perf_counter()
            try:
                got = read(path)
            except Exception as error:
                got = ""
                failed.append(f"{path.name}: {str(error).strip().splitlines()[-1:] or error!r}")
            took += time.perf_counter() - started
            scores.append((f1(truth.tokens(text), truth.tokens(got)), path.name))
        worst = [f"{score:.3f} {name}" for score, name in sorted(scores)[:5]]
        report[name] = {
            "f1": round(sum(score for score, _ in scores) / len(scores), 4),
            "failed": len(failed),
            "ms_per_file": round(took * 1000 / len(cases), 1),
        }
        if name == "gristmill":
            report[name] |= {"worst": worst, "failures": failed}
    return report


def f1(wanted: Counter, got: Counter) -> float:
    """Of tokens as a multiset: their order is not judged here."""
    common = sum((wanted & got).values())
    return 2 * common / (wanted.total() + got.total()) if wanted or got else 1.0


def ours(program: Path, path: Path) -> str:
    """What we find, without what is ours: marks of list items and notes, and headers repeated within one table."""
    run = subprocess.run([program, "extract", path, "--format", "json"], capture_output=True, timeout=120)
    if run.returncode:
        raise RuntimeError(run.stderr.decode())
    document = json.loads(run.stdout)
    texts = [document["text"][block["start"]:block["end"]] for block in document["blocks"]]
    notes = {text[1:text.index("]")] for text in texts if re.match(r"\[\d+\] ", text)}
    parts, header = [], None
    for block, text in zip(document["blocks"], texts):
        if block["kind"]["type"] == "list-item":
            text = truth.without_mark(text)
        if block["kind"]["type"] == "table":
            first, _, rest = text.partition("\n")
            text = rest if first == header else text
            header = first
        else:
            header = None
        parts.append(truth.without_notes(text, notes))
    return "\n".join(parts)


def others(kind: str) -> dict:
    """Other readers that are installed and read this kind."""
    readers = {}
    try:
        import pypandoc
        if kind in ("docx", "odt", "epub"):
            readers["pandoc"] = lambda path: pypandoc.convert_file(str(path), "plain", extra_args=["--wrap=none"])
    except ImportError:
        pass
    try:
        import kreuzberg
        if kind != "csv":
            readers["kreuzberg"] = lambda path: kreuzberg.extract_file_sync(str(path)).content
    except ImportError:
        pass
    try:
        from markitdown import MarkItDown
        reader = MarkItDown()
        if kind in ("docx", "pptx", "xlsx", "epub", "csv"):
            readers["markitdown"] = lambda path: reader.convert(str(path)).text_content
    except ImportError:
        pass
    try:
        import python_calamine
        if kind == "xlsx":
            readers["calamine"] = lambda path: truth.calamine(python_calamine, path)
    except ImportError:
        pass
    return readers


if __name__ == "__main__":
    json.dump(evaluate(Path(sys.argv[1]), Path(sys.argv[2])), sys.stdout, indent=2, ensure_ascii=False)

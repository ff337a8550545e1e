"""Other PDF readers, as references and for comparison. Needs `pip install pymupdf pypdfium2` and poppler's tools.

    python pdf_readers.py READER OUT < LIST

The protocol is that of shared/content/examples/extract.rs: one path a line, texts in OUT, one JSON object a file.
"""

import json
import os
import re
import subprocess
import sys
import time

MAX_PAGES = 100
SECONDS = 10


def mupdf(path):
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    with pymupdf.open(path) as document:
        if document.needs_pass or document.page_count > MAX_PAGES:
            return None, {"pages": document.page_count}
        texts = [page.get_text() for page in document]
        return "\f".join(texts), {"pages": document.page_count}


def layout(path):
    """Not a text but what kind of file it is: columns, rotation."""
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    with pymupdf.open(path) as document:
        if document.needs_pass or document.page_count > MAX_PAGES:
            return None, {"pages": document.page_count}
        filled = columns = turned = tables = 0
        for page in document:
            blocks, along, across = [], 0, 0
            for block in page.get_text("dict")["blocks"]:
                lines = block.get("lines", [])
                chars = [sum(len(span["text"].strip()) for span in line["spans"]) for line in lines]
                for line, count in zip(lines, chars):
                    flat = abs(line["dir"][0]) > 0.9
                    along, across = along + count * flat, across + count * (not flat)
                if len(lines) >= 3 and sum(chars) >= 120 and sum(chars) / len(lines) >= 15:
                    blocks.append(block["bbox"])
            if along + across < 20:
                continue
            filled += 1
            turned += across > along or page.rotation != 0
            columns += any(beside(a, b) for i, a in enumerate(blocks) for b in blocks[i + 1:])
        return "", {
            "pages": document.page_count,
            "columns": filled > 0 and columns > 0.4 * filled,
            "turned": filled > 0 and turned > 0.5 * filled,
        }


def beside(a, b):
    """Whether two blocks stand side by side for most of the height of the lower one."""
    height = min(a[3], b[3]) - max(a[1], b[1])
    apart = a[2] < b[0] + 2 or b[2] < a[0] + 2
    return apart and height > 0.5 * min(a[3] - a[1], b[3] - b[1])


def pdfium(path):
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    if len(document) > MAX_PAGES:
        return None, {"pages": len(document)}
    texts = []
    for page in document:
        textpage = page.get_textpage()
        texts.append(textpage.get_text_range())
        textpage.close()
        page.close()
    return "\f".join(texts), {"pages": len(document)}


def info(path):
    return run(["pdfinfo", path])


def pages_of(text):
    found = re.search(r"^Pages:\s+(\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def run(command):
    result = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.decode("utf-8", "replace")[:200])
    return result.stdout.decode("utf-8", "replace")


def poppler(path):
    text = run(["pdftotext", "-q", "-l", str(MAX_PAGES + 1), path, "-"])
    pages = text.count("\f")
    return (None if pages > MAX_PAGES else text), {"pages": pages}


def order(path):
    """The text in the order its author gave it: that of the tags, or of TeX, which writes in reading order."""
    about = info(path)
    if pages_of(about) > MAX_PAGES:
        return None, {}
    if re.search(r"^Tagged:\s+yes", about, re.MULTILINE):
        tagged = run(["pdfinfo", "-struct-text", path])
        lines = re.findall(r'^\s*"(.*)"\s*$', tagged, re.MULTILINE)
        return "\n".join(lines), {"source": "tags"}
    if re.search(r"^(Producer|Creator):.*(TeX|dvips)", about, re.MULTILINE | re.IGNORECASE):
        return run(["pdftotext", "-q", "-raw", path, "-"]), {"source": "TeX"}
    return None, {}


READERS = {reader.__name__: reader for reader in (mupdf, poppler, pdfium, layout, order)}


def main():
    reader, out = READERS[sys.argv[1]], sys.argv[2]
    for number, line in enumerate(sys.stdin, 1):
        print(json.dumps({"begin": number}), flush=True)
        start = time.perf_counter()
        try:
            text, about = reader(line.rstrip("\n"))
        except Exception as error:  # whatever a reader throws is its answer
            text, about = None, {"error": str(error)[:200]}
        report = {"n": number, "seconds": time.perf_counter() - start, **about}
        if text is not None:
            with open(os.path.join(out, f"{number}.txt"), "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

"""PDF text: token F1 by class of file, reading order, speed, errors. Truth is where other readers agree.

A file counts if two of PyMuPDF, pdftotext and pdfium agree on its text with a token F1 of 0.9 or more; each reader is
scored against the better of those that agree, never against itself. Headers and footers that come back from page to
page are neither asked for nor held against a reader. Order is scored where the author gave one (tags, TeX): of the words
that occur once in both texts, the share that stands in the same order (longest increasing subsequence).
"""

import bisect
import collections
import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

HERE = Path(__file__).resolve().parent
REFERENCES = ("mupdf", "poppler", "pdfium")
NAMES = {"ours": "Gristmill", "mupdf": "PyMuPDF", "poppler": "pdftotext", "pdfium": "pypdfium2"}
CLASSES = ("all", "columns", "cjk", "rtl", "turned")
SECONDS_A_FILE = 60
MEMORY = 4 << 30

CJK = "\u1100-\u11ff\u2e80-\u303f\u3040-\u30ff\u3100-\u318f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
TOKEN = re.compile(rf"[{CJK}]|[^\W{CJK}]+")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u2010\ufffe\x02]\s*(?=[^\W\d_])")
LAM_ALEF = re.compile("[\u0644\u0622\u0623\u0625\u0627]{2,}")
PUNCTUATION = set("、。「」『』・〈〉《》【】〔〕〜〝〟〃〇")


def tokens(text):
    """Words in lower case, an ideograph a token; hyphens within and between lines are dropped in all texts alike."""
    text = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    text = HYPHEN.sub("", text)
    # Two of the references turn the ligature of lam and alef round, in the middle of words.
    text = LAM_ALEF.sub(lambda run: "".join(sorted(run.group())), text)
    return [token for token in TOKEN.findall(text.lower()) if token not in PUNCTUATION]


def f1(found, wanted, optional):
    """Token F1 of two counters; optional tokens count only where they were found."""
    if not found and not wanted:
        return 1.0
    hit = sum(min(count, wanted[token]) for token, count in found.items())
    asked = sum(max(count - optional[token], min(count, found[token])) for token, count in wanted.items())
    return 2.0 * hit / max(1, asked + sum(found.values()))


def furniture(pages):
    """The tokens of the lines at the edges of pages that come back on others."""
    edges, seen = [], collections.Counter()
    for page in pages:
        lines = [line for line in page.splitlines() if line.strip()]
        edge = list(dict.fromkeys(lines[:3] + lines[-3:]))
        edges.append(edge)
        seen.update({re.sub(r"\d+", "#", line.strip()) for line in edge})
    needed = 2 if len(pages) < 4 else 3
    out = collections.Counter()
    for line in (line for edge in edges for line in edge):
        if seen[re.sub(r"\d+", "#", line.strip())] >= needed:
            out.update(tokens(line))
    return out


def in_order(found, wanted):
    """Of the words that occur once in both, the share that is in order; none if they are few."""
    once = {token for token, count in collections.Counter(found).items() if count == 1}
    places = {token: at for at, token in enumerate(found) if token in once}
    counts = collections.Counter(wanted)
    sequence = [places[token] for token in wanted if counts[token] == 1 and token in places]
    if len(sequence) < 40:
        return None
    tails = []
    for place in sequence:
        at = bisect.bisect_left(tails, place)
        tails[at:at + 1] = [place]
    return len(tails) / len(sequence)


def drive(command, files, out, cpu=None):
    """Feeds files to a program of extract.rs' protocol; starts it anew after a file that ended or stopped it."""
    out.mkdir(parents=True, exist_ok=True)
    reports, done = {}, 0
    while done < len(files):
        work = Path(tempfile.mkdtemp(dir=out))
        listing = work / "list"
        listing.write_text("".join(f"{file}\n" for file in files[done:]), encoding="utf-8")
        limit = f"ulimit -v {MEMORY // 1024}; exec \"$@\""
        process = subprocess.Popen(
            ["bash", "-c", limit, "bash", *map(str, command), str(work)],
            stdin=listing.open("rb"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        at, started, pending = 0, time.monotonic(), b""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], 1.0)
            if ready:
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                *lines, pending = (pending + piece).split(b"\n")
                for line in map(json.loads, lines):
                    if "begin" in line:
                        at, started = line["begin"], time.monotonic()
                    else:
                        reports[done + line.pop("n") - 1] = line
            elif time.monotonic() - started > SECONDS_A_FILE:
                process.kill()
                reports[done + at - 1] = {"error": {"code": "hang"}}
                break
        code = process.wait()
        for text in work.glob("*.txt"):
            text.rename(out / f"{done + int(text.stem)}.txt")
        shutil.rmtree(work)
        if code == 0:
            break
        if at == 0:
            raise RuntimeError(f"{command} ended with {code} before the first file")
        reports.setdefault(done + at - 1, {"error": {"code": "crash"}})
        done += at
    return [reports.get(index, {"error": {"code": "crash"}}) for index in range(len(files))]


def text_of(folder, index):
    path = folder / f"{index + 1}.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def documents(data):
    """Every PDF below a folder, each content once."""
    known = {}
    for path in sorted(data.rglob("*")):
        if path.suffix.lower() == ".pdf" and path.is_file() and not path.name.startswith("."):
            known.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    return list(known.values())


def references(files, cache):
    """What the other readers say, kept beside the data: it does not change."""
    key = hashlib.sha256("\n".join(map(str, files)).encode()).hexdigest()[:16]
    reports = {}
    for reader in (*REFERENCES, "layout", "order"):
        folder = cache / f"{reader}-{key}"
        listing = folder / "reports.json"
        if not listing.exists():
            found = drive([sys.executable, HERE / "pdf_readers.py", reader], files, folder)
            listing.write_text(json.dumps(found))
        reports[reader] = (folder, json.loads(listing.read_text()))
    return reports


def classes_of(text, layout):
    letters = [c for c in text if c.isalpha()]
    total = max(1, len(letters))
    found = ["all"]
    if layout.get("columns"):
        found.append("columns")
    if sum(bool(re.match(f"[{CJK}]", c)) for c in letters) > 0.2 * total:
        found.append("cjk")
    if sum(unicodedata.bidirectional(c) in ("R", "AL") for c in letters) > 0.2 * total:
        found.append("rtl")
    if layout.get("turned"):
        found.append("turned")
    return found


def pages_a_second(reports):
    read = [report for report in reports if report.get("pages") and "error" not in report]
    return sum(report["pages"] for report in read) / max(1e-9, sum(report["seconds"] for report in read))


class Score:
    """Figures of one reader, by class of file."""

    def __init__(self):
        self.f1 = collections.defaultdict(list)
        self.order = collections.defaultdict(list)

    def row(self, name, speed):
        def mean(values):
            return sum(values) / len(values) if values else None
        return [name, *(mean(self.f1[kind]) for kind in CLASSES), mean(self.order["all"]), mean(self.order["columns"]), speed]


def evaluate(data: Path, program: Path) -> dict:
    files = documents(data)
    known = references(files, data / ".references")
    ours = data / ".ours"
    shutil.rmtree(ours, ignore_errors=True)
    reports = drive([program.parent / "examples" / "extract"], files, ours)
    folders = {"ours": ours, **{reader: known[reader][0] for reader in REFERENCES}}
    scores = {reader: Score() for reader in folders}
    worst, counted, ordered = [], 0, collections.Counter()
    for index, file in enumerate(files):
        texts = {reader: text_of(folder, index) for reader, folder in folders.items()}
        bags = {reader: collections.Counter(tokens(text or "")) for reader, text in texts.items()}
        none = collections.Counter()
        agreeing = {a for a in REFERENCES for b in REFERENCES
                    if a != b and len(texts[a] or "") and sum(bags[a].values()) >= 10 and f1(bags[a], bags[b], none) >= 0.9}
        if not agreeing:
            continue
        counted += 1
        layout = known["layout"][1][index]
        kinds = classes_of(texts[next(iter(sorted(agreeing)))], layout)
        optional = {reader: furniture(texts[reader].split("\f")) for reader in agreeing}
        written = text_of(known["order"][0], index)
        written = tokens(written) if written else None
        if written and max(f1(collections.Counter(written), bags[reader], optional[reader]) for reader in agreeing) < 0.9:
            written = None
        if written:
            ordered[known["order"][1][index].get("source")] += 1
        for reader, score in scores.items():
            against = [other for other in agreeing if other != reader]
            value = max(f1(bags[reader], bags[other], optional[other]) for other in against)
            sequence = in_order(tokens(texts[reader] or ""), written) if written else None
            for kind in kinds:
                score.f1[kind].append(value)
                if sequence is not None:
                    score.order[kind].append(sequence)
            if reader == "ours":
                worst.append((value, sequence, kinds[1:], str(file), index + 1))
    errors = collections.Counter(report["error"]["code"] for report in reports if "error" in report)
    (data / ".worst.txt").write_text("".join(f"{value:.3f} {sequence} {kinds} {index} {file}\n" for value, sequence, kinds, file, index in sorted(worst, key=lambda row: row[0])))
    missed = [str(file) for file, report in zip(files, reports) if report.get("error", {}).get("code") in ("crash", "hang")]
    speeds = {"ours": pages_a_second(reports), **{reader: pages_a_second(known[reader][1]) for reader in REFERENCES}}
    sizes = {kind: len(scores["ours"].f1[kind]) for kind in CLASSES}
    return {
        "title": "PDF text",
        "columns": ["reader", *(f"{kind} ({sizes[kind]})" for kind in CLASSES),
                    f"order ({len(scores['ours'].order['all'])})", f"order, columns ({len(scores['ours'].order['columns'])})", "pages/s"],
        "rows": [score.row(NAMES[reader], speeds[reader]) for reader, score in scores.items()],
        "notes": [
            f"{len(files)} different files, {counted} on which two references agree; order by {dict(ordered)}",
            f"errors of ours: {dict(errors.most_common())}",
            f"crashes and hangs of ours: {missed or 'none'}",
            "pages/s: one core, time within the reader; pdftotext's includes the start of a process a file",
        ],
    }

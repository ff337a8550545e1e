"""Learns which pieces of a page are its main content, and writes shared/content/src/html/forest.txt.

    python3 -P bench/eval/html_train.py DATA PROGRAM WORK [--examine]

DATA holds clones of the public sets (docs/extraction.md). Learned from are WCXB's part `dev`, Readability.js' test pages
and trafilatura's phrases; not looked at are scrapinghub's benchmark and WCXB's part `test`, which are kept to examine
with. PROGRAM is the example `html` of gristmill-content. WORK is a folder for what lies between: pages and figures. Needs
lightgbm, numpy and rapidfuzz, and -P, for this folder has modules named like the standard library's.

A piece of text is labelled by the share of its words that the longest common subsequence of page and truth goes
through; of trafilatura's pages only the pieces that hold one of the phrases have a label. The second forest learns from
what the first says of pages it has not seen (three folds, by page). With --examine the second is examined in the same way,
which takes twice the time.
"""

import gzip
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import unescape

import lightgbm
import numpy
from rapidfuzz.distance import LCSseq

FOLDS = 3
MODEL = Path(__file__).parents[2] / "shared/content/src/html/forest.txt"
FIRST = {"trees": 90, "leaves": 31, "rate": 0.12}
SECOND = {"trees": 150, "leaves": 31, "rate": 0.08}

# What a piece with one of trafilatura's phrases weighs, where the pieces of a page weigh about 1 together.
PHRASE = 0.12


def main() -> None:
    data, program, work = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    truth = prepare(data, work)
    subprocess.run([program, "pieces", work / "manifest.jsonl", work], check=True)
    pages, figures = read(work)
    labels, weights = label(pages, truth)
    fold = numpy.concatenate([numpy.full(len(page["texts"]), fold_of(page["id"])) for page in pages])
    print(len(pages), "pages", len(labels), "pieces", int((weights > 0).sum()), "with a label", flush=True)

    first = unseen(figures, labels, weights, fold, FIRST)
    both = numpy.hstack([figures, opinions(pages, first)])
    guesses = {"first": first, "labels": labels}
    if "--examine" in sys.argv:
        guesses["second"] = unseen(both, labels, weights, fold, SECOND)
    for name, guess in guesses.items():
        for threshold in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55):
            print(name, threshold, {kind: round(f1, 4) for kind, f1 in score(pages, truth, guess, threshold).items()}, flush=True)

    write(train(figures, labels, weights, FIRST), train(both, labels, weights, SECOND), pages[0]["names"])


def prepare(data: Path, work: Path) -> dict:
    """Unpacks the pages; the truth by id: a text, or phrases that must and must not be there."""
    module = importlib.util.spec_from_file_location("evaluation", Path(__file__).with_name("html.py"))
    evaluation = importlib.util.module_from_spec(module)
    module.loader.exec_module(evaluation)
    sets = evaluation.find_sets(data)
    (work / "pages").mkdir(parents=True, exist_ok=True)
    truth, lines = {}, []

    def add(name: str, url: str, page: bytes, wanted) -> None:
        path = work / "pages" / f"{len(lines)}.html"
        path.write_bytes(page)
        truth[name] = wanted
        lines.append(json.dumps({"id": name, "path": str(path), "url": url}) + "\n")

    for path in sorted((sets["wcxb"] / "dev" / "ground-truth").glob("*.json")):
        entry = json.loads(path.read_text())
        if content := entry["ground_truth"].get("main_content"):
            page = gzip.decompress((sets["wcxb"] / "dev" / "html" / f"{path.stem}.html.gz").read_bytes())
            add(f"wcxb/{path.stem}", entry.get("url") or "", page, content)
    for path in sorted((sets["readability"] / "test" / "test-pages").glob("*/expected.html")):
        text = unescape(re.sub(r"<[^>]*>", " ", path.read_text()), {"&nbsp;": " ", "&quot;": '"'})
        add(f"readability/{path.parent.name}", "", path.with_name("source.html").read_bytes(), text)
    tests = sets["trafilatura"] / "tests"
    for url, entry in json.loads((tests / "evaldata.json").read_text()).items():
        path = next((p for p in (tests / f / entry["file"] for f in ("cache", "eval")) if p.is_file()), None)
        if path:
            add(f"trafilatura/{entry['file']}", url, path.read_bytes(), entry)
    (work / "manifest.jsonl").write_text("".join(lines))
    return truth


def read(work: Path) -> tuple:
    """Pages with pieces, and the figures of all pieces."""
    pages = [json.loads(line) for line in (work / "pages.jsonl").read_text().split("\n") if line]
    pages = [page for page in pages if page["texts"]]
    figures = numpy.fromfile(work / "figures.f32", dtype="<f4").reshape(-1, len(pages[0]["names"]))
    return pages, figures


def unseen(figures, labels, weights, fold, shape) -> numpy.ndarray:
    """What a forest says of each piece that has learned from the pages of other folds."""
    guess = numpy.zeros(len(labels))
    for part in range(FOLDS):
        others = fold != part
        guess[~others] = train(figures[others], labels[others], weights[others], shape).predict(figures[~others])
    return guess


def words(text: str) -> list:
    return re.findall(r"\w+", text.lower())


def label(pages: list, truth: dict) -> tuple:
    """1 for pieces of the main content; weights, by which every page counts alike and long pieces more."""
    labels, weights = [], []
    for page in pages:
        wanted = truth[page["id"]]
        own, weight = by_phrases(page["texts"], wanted) if isinstance(wanted, dict) else by_text(page["texts"], wanted)
        labels += own
        weights += weight
    weights = numpy.array(weights)
    scale = len(weights) / weights.sum()
    return numpy.array(labels), numpy.where(weights > 0, weights * scale + 0.02, 0)


def by_phrases(texts: list, entry: dict) -> tuple:
    """Labels of the few pieces that hold a phrase."""
    flat = lambda text: " ".join(text.split())
    wanted, unwanted = [[flat(phrase) for phrase in entry[key]] for key in ("with", "without")]
    labels, weights = [], []
    for text in map(flat, texts):
        holds = lambda phrases: any(phrase in text or (len(text) > 20 and text in phrase) for phrase in phrases)
        good, bad = holds(wanted), holds(unwanted)
        labels.append(float(good))
        weights.append(PHRASE if good != bad else 0.0)
    return labels, weights


def by_text(texts: list, truth: str) -> tuple:
    """Labels of all pieces of a page whose main content is known."""
    numbers = {}
    number = lambda word: numbers.setdefault(word, len(numbers))
    wanted = [number(word) for word in words(truth)]
    pieces = [[number(word) for word in words(text)] for text in texts]
    flat = [word for piece in pieces for word in piece]
    owner = numpy.array([at for at, piece in enumerate(pieces) for _ in piece], dtype=int)
    hit = numpy.zeros(len(pieces))
    for block in LCSseq.editops(flat, wanted).as_matching_blocks() if flat else []:
        numpy.add.at(hit, owner[block.a:block.a + block.size], 1)
    shingles = set(zip(*(wanted[k:] for k in range(5))))
    labels, weights = [], []
    for at, piece in enumerate(pieces):
        share = hit[at] / len(piece) if piece else 0
        grams = list(zip(*(piece[k:] for k in range(5))))
        if len(grams) >= 4:  # text that has been moved is found by its shingles
            share = max(share, sum(gram in shingles for gram in grams) / len(grams))
        labels.append(float(share >= 0.6))
        weights.append(len(piece) / (max(len(wanted), 60) + 0.25 * len(flat)))
    return labels, weights


def fold_of(page: str) -> int:
    return sum(map(ord, page)) * 7919 % 104729 % FOLDS


def train(figures, labels, weights, shape) -> lightgbm.Booster:
    known = weights > 0
    return lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": shape["leaves"],
            "learning_rate": shape["rate"],
            "min_data_in_leaf": 60,
            "min_sum_hessian_in_leaf": 5.0,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.5,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
            "max_bin": 63,
            "num_threads": 2,
            "seed": 7,
            "verbose": -1,
        },
        lightgbm.Dataset(figures[known], labels[known], weight=weights[known]),
        shape["trees"],
    )


def opinions(pages: list, first) -> numpy.ndarray:
    """What the first forest said around each piece: as `opinions` in shared/content/src/html/choose.rs."""
    out, start = [], 0
    for page in pages:
        count = len(page["texts"])
        own = first[start:start + count]
        start += count
        weight = numpy.array([len(text) for text in page["texts"]], dtype=float)
        parents, groups = page["parents"], numpy.array(page["groups"])
        sums = numpy.zeros((len(parents), 2))
        numpy.add.at(sums[:, 0], page["elements"], own * weight)
        numpy.add.at(sums[:, 1], page["elements"], weight)
        for at in range(len(parents) - 1, 0, -1):
            if parents[at] != at:
                sums[parents[at]] += sums[at]
        mean = sums[:, 0] / numpy.maximum(sums[:, 1], 1)
        paths = numpy.zeros((count + 1, 2))
        numpy.add.at(paths[:, 0], groups[:, -1], own * weight)
        numpy.add.at(paths[:, 1], groups[:, -1], weight)
        path = (paths[:, 0] / numpy.maximum(paths[:, 1], 1))[groups[:, -1]]
        padded = numpy.concatenate([[-1, -1], own, [-1, -1]])
        rows = [own, padded[:-4], padded[1:-3], padded[3:-1], padded[4:]]
        rows += [mean[groups[:, level]] for level in range(groups.shape[1] - 1)]
        rows += [path, numpy.full(count, (own * weight).sum() / max(weight.sum(), 1))]
        out.append(numpy.stack(rows, axis=1))
    return numpy.concatenate(out).astype("f4")


def score(pages: list, truth: dict, guess, threshold: float) -> dict:
    """By set, the mean F1 of words over pages, as WCXB counts it; of phrases, the F1 over all."""
    figures, start, hits = {}, 0, Counter()
    for page in pages:
        kept = guess[start:start + len(page["texts"])] >= threshold
        start += len(page["texts"])
        text = " ".join(text for text, keep in zip(page["texts"], kept) if keep)
        wanted = truth[page["id"]]
        if isinstance(wanted, dict):
            flat = " ".join(text.split())
            there = lambda phrases: sum(" ".join(phrase.split()) in flat for phrase in phrases)
            hits += Counter(found=there(wanted["with"]), wrong=there(wanted["without"]), wanted=len(wanted["with"]))
            continue
        got, wanted = Counter(words(text)), Counter(words(wanted))
        f1 = 2 * (got & wanted).total() / max(got.total() + wanted.total(), 1)
        figures.setdefault(page["id"].split("/")[0], []).append(f1)
    means = {kind: sum(all_of) / len(all_of) for kind, all_of in figures.items()}
    precision, recall = hits["found"] / max(hits["found"] + hits["wrong"], 1), hits["found"] / max(hits["wanted"], 1)
    return means | {"trafilatura": 2 * precision * recall / max(precision + recall, 1e-9)}


def write(first: lightgbm.Booster, second: lightgbm.Booster, names: list) -> None:
    """The forests as shared/content/src/html/forest.rs reads them."""
    lines = ["# What bench/eval/html_train.py learned from the part `dev` of the Web Content Extraction Benchmark (Murrough Foley,"]
    lines += ["# 2026, CC-BY-4.0) and the tests of Readability.js and trafilatura (Apache-2.0). A tree a line; see forest.rs."]
    lines += ["# figures: " + " ".join(names)]
    for name, forest in (("[first]", first), ("[second]", second)):
        lines.append(name)
        lines += [" ".join(preorder(tree["tree_structure"])) for tree in forest.dump_model()["tree_info"]]
    MODEL.write_text("\n".join(lines) + "\n")


def preorder(node: dict) -> list:
    if "leaf_value" in node:
        return [f"{node['leaf_value']:.4g}"]
    question = f"F{node['split_feature']}:{numpy.float32(node['threshold']):.6g}"
    return [question, *preorder(node["left_child"]), *preorder(node["right_child"])]


if __name__ == "__main__":
    main()

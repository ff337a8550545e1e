"""Search: nDCG@10 of keyword, semantic and hybrid mode through the API, beside a reference BM25 (bm25s, k1 1.2, b 0.75).

`data` holds one folder per collection: `scifact` as BEIR has it (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`), and
`cranfield` as it was published (`cran.all.1400`, `cran.qry`, `cranqrel`). The reference stems with Snowball's English and
leaves out its stop words, as Postgres' configuration `english` does. Needs `pip install bm25s PyStemmer`.
"""

import collections
import concurrent.futures
import contextlib
import json
import math
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

AT_ONCE = 8
DEPTH = 10
MODES = ("keyword", "semantic", "hybrid")


def beir(folder):
    """Documents, queries and judgements of a collection in BEIR's form."""
    lines = lambda name: map(json.loads, (folder / name).read_text(encoding="utf-8").splitlines())
    documents = {row["_id"]: (row.get("title", ""), row["text"]) for row in lines("corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in lines("queries.jsonl")}
    judged = collections.defaultdict(dict)
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, gain = line.split("\t")
        judged[query][document] = int(gain)
    return documents, queries, judged


def cranfield(folder):
    """The same of Cranfield's: its judgements number the queries in their order, and 1 is the best of five grades."""
    parts = re.split(r"^\.I +(\d+)\s*$", (folder / "cran.all.1400").read_text(errors="replace"), flags=re.M)
    field = lambda text, name: (re.search(rf"^\.{name}\s*\n(.*?)(?=^\.[A-Z]\s*$|\Z)", text, re.M | re.S) or [0, ""])[1]
    flowing = lambda text: " ".join(text.split())
    documents = {}
    for number, text in zip(parts[1::2], parts[2::2]):
        title, body = flowing(field(text, "T")), flowing(field(text, "W"))
        # The text begins with the title.
        documents[str(int(number))] = (title, body.removeprefix(title).strip())
    asked = re.split(r"^\.I +\d+\s*\n\.W\s*\n", (folder / "cran.qry").read_text(errors="replace"), flags=re.M)[1:]
    queries = {str(number): flowing(text) for number, text in enumerate(asked, 1)}
    judged = collections.defaultdict(dict)
    for line in (folder / "cranqrel").read_text().splitlines():
        query, document, grade = map(int, line.split()[:3])
        judged[str(query)][str(document)] = 5 - grade if 1 <= grade <= 4 else 0
    return documents, queries, judged


def ndcg(found, gains):
    """Normalised discounted cumulative gain of the first ten; linear gains, as trec_eval has it."""
    discounted = lambda values: sum(gain / math.log2(place + 2) for place, gain in enumerate(values[:DEPTH]))
    ideal = discounted(sorted(gains.values(), reverse=True))
    return discounted([gains.get(document, 0) for document in found]) / ideal if ideal else 0.0


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def reference(documents, queries, judged):
    import bm25s
    import Stemmer

    stem = Stemmer.Stemmer("english")
    cut = lambda texts: bm25s.tokenize(texts, stopwords="en", stemmer=stem, show_progress=False)
    names = list(documents)
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(cut([" ".join(documents[name]) for name in names]), show_progress=False)
    found, _ = index.retrieve(cut([queries[query] for query in judged]), k=DEPTH, show_progress=False)
    return mean(ndcg([names[at] for at in row], judged[query]) for query, row in zip(judged, found))


class Site:
    """A Gristmill of its own, and calls to it."""

    def __init__(self, address, key):
        self.address, self.key = address, key

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def side_by_side(self, work, items):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(work, items))


@contextlib.contextmanager
def site(program):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    # The private Postgres runs as another user, who must be able to go through the folder.
    with tempfile.TemporaryDirectory(prefix="gristmill-eval-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        command = [program, "up", "--data-dir", folder, "--bind", address]
        with open(Path(folder) / "log", "w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(1200):
                with contextlib.suppress(OSError, urllib.error.URLError):
                    urllib.request.urlopen(f"http://{address}/readyz", timeout=5).close()
                    break
                if process.poll() is not None:
                    raise RuntimeError((Path(folder) / "log").read_text()[-2000:])
                time.sleep(0.1)
            yield Site(address, (Path(folder) / "api-key").read_text().strip())
        finally:
            process.terminate()
            process.wait(60)


def fill(site, name, documents):
    """Hands the documents in and waits until all are ready."""

    def hand_in(item):
        number, (title, text) = item
        source = {"type": "text", "text": f"{title}\n\n{text}".strip() or "(empty)"}
        site.call("POST", "/v1/documents", {"source": source, "external_id": f"{name}/{number}", "category": name})

    site.side_by_side(hand_in, documents.items())
    while site.call("GET", "/v1/documents?status=pending&limit=1")["data"]:
        time.sleep(0.5)


def measured(site, name, queries, judged, mode, **more):
    """nDCG@10 and the median milliseconds of a mode."""
    names = {}

    def ask(query):
        body = {"query": queries[query][:2000], "mode": mode, "limit": 30, "filters": {"category": name}, **more}
        answer = site.call("POST", "/v1/search", body)
        found = []
        for hit in answer["results"]:
            if hit["document_id"] not in found:
                found.append(hit["document_id"])
        return found[:DEPTH], answer["took_ms"]

    answers = site.side_by_side(ask, judged)
    for document in {document for found, _ in answers for document in found}:
        names[document] = site.call("GET", f"/v1/documents/{document}")["external_id"].removeprefix(f"{name}/")
    took = sorted(took for _, took in answers)
    score = mean(ndcg([names[id] for id in found], judged[query]) for query, (found, _) in zip(judged, answers))
    return score, took[len(took) // 2]


def evaluate(data: Path, program: Path) -> dict:
    rows, notes = [], []
    for name, read in (("scifact", beir), ("cranfield", cranfield)):
        if not (data / name).is_dir():
            notes.append(f"{name} is not in {data}")
            continue
        documents, queries, judged = read(data / name)
        judged = {query: gains for query, gains in judged.items() if query in queries and any(gains.values())}
        expected = reference(documents, queries, judged)
        with site(program) as running:
            fill(running, name, documents)
            model = running.call("GET", "/v1/embedding-spaces")["data"][0]["model"]
            scores = {mode: measured(running, name, queries, judged, mode) for mode in MODES}
            weights = [float(weight) for weight in os.environ.get("GRISTMILL_EVAL_WEIGHTS", "").split(",") if weight]
            for weight in weights:
                given = {"keyword": 1.0, "semantic": weight}
                score, _ = measured(running, name, queries, judged, "hybrid", weights=given)
                notes.append(f"{name}: hybrid with semantic weight {weight}: {score:.3f}")
        keyword = scores["keyword"][0]
        row = [name, len(documents), len(judged), expected, keyword, keyword / expected]
        rows.append(row + [scores["semantic"][0], scores["hybrid"][0], scores["keyword"][1], scores["hybrid"][1], model])
    columns = ["collection", "documents", "queries", "BM25 (bm25s)", "keyword", "of it", "semantic", "hybrid"]
    columns += ["keyword ms", "hybrid ms", "embedding model"]
    return {"title": "Search: nDCG@10", "columns": columns, "rows": rows, "notes": notes}


if __name__ == "__main__":
    import sys

    print(json.dumps(evaluate(Path(sys.argv[1]), Path(sys.argv[2])), indent=1))

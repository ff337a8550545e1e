# The project's commands; `just` alone lists them. Every recipe is a line that can be typed by hand as well.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# Everything that must hold before a change is merged
ci:
    .ci/run

# Everything a fresh machine needs, then all tests
test *args:
    bin/test {{ args }}

# Format the code
fmt:
    cargo fmt --all

fmt-check:
    cargo fmt --all --check

# Clippy on every target, warnings are errors
lint:
    cargo clippy --workspace --all-targets --locked -- --deny warnings

# The API documentation of the crates, without dead links
docs:
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked

# Licences, advisories, banned crates, sources (cargo install cargo-deny)
deny:
    cargo deny check

# Dependencies that nothing uses (cargo install cargo-machete)
machete:
    cargo machete

# Spelling (cargo install typos-cli)
typos:
    typos

# Quality of extraction and search on the public data in GRISTMILL_EVAL_DATA (docs/extraction.md)
eval *names:
    cargo build --release --locked --bin gristmill
    cargo build --release --locked -p gristmill-content --examples
    bench/eval/run {{ names }}

# The main job on the bundled samples; the API stays up until Ctrl-C
demo *args:
    cargo run --release --locked -- demo {{ args }}

# Everything in one process on this machine
up *args:
    cargo run --release --locked -- up {{ args }}

# All services in containers, with Postgres, Redis and S3 beside them
compose *args:
    docker compose up --build {{ args }}

# Set the sample PDF anew from its source (needs uv)
samples:
    uv run cli/samples/src/build.py

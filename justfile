# The project's commands; `just` alone lists them. Every recipe is a line that can be typed by hand as well.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# Everything that must hold before a change is merged
ci: fmt-check lint docs deny machete typos samples-check test

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

# The main job on the bundled samples, then the dashboard
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

# The sample documents are what they claim to be
[private]
samples-check:
    @python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("cli/samples/feed.xml")'
    @iconv --from-code=WINDOWS-1252 --to-code=UTF-8 cli/samples/supplier-call-notes.txt | grep --quiet '€34/t'
    @if iconv --from-code=UTF-8 cli/samples/supplier-call-notes.txt >/dev/null 2>&1; then echo "supplier-call-notes.txt was saved as UTF-8" >&2; exit 1; fi

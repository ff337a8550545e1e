# syntax=docker/dockerfile:1
# One image for every role: the command chooses. `api` (the default), `worker`, `scheduler`, `gristmill migrate`.
#
#   docker build -t gristmill .
#   docker run --rm -e DATABASE_URL=… gristmill gristmill migrate      # the first time it prints an admin key
#   docker run --read-only --tmpfs /tmp --env-file gristmill.env -p 8080:8080 gristmill
#   docker run --read-only --tmpfs /tmp --env-file gristmill.env gristmill worker      # `scheduler` likewise
#
# gristmill.env: DATABASE_URL, REDIS_URL, S3_BUCKET, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and S3_ENDPOINT
# where it is not AWS. In place of the five for S3, GRISTMILL_DATA_DIR may name a folder that all containers share: add
# `-e GRISTMILL_DATA_DIR=/var/lib/gristmill -v gristmill-files:/var/lib/gristmill` to each. Without either they refuse to
# start, for the worker would look in vain for what the API was handed.
#
# No cache mounts: some platforms' builders refuse those they did not name. cargo-chef compiles the dependencies in a
# layer of their own instead, which stays valid until Cargo.lock or a manifest changes.

FROM rust:1.95-bookworm AS chef
RUN cargo install --locked cargo-chef --version 0.1.78
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM chef AS build
COPY --from=plan /recipe.json /recipe.json
RUN cargo chef cook --release --locked --recipe-path /recipe.json \
        --package gristmill-api --package gristmill-worker --package gristmill-scheduler --package gristmill-cli
COPY . .
RUN cargo build --release --locked --bins \
        --package gristmill-api --package gristmill-worker --package gristmill-scheduler --package gristmill-cli \
    && mkdir /out \
    && cp target/release/api target/release/worker target/release/scheduler target/release/gristmill /out/

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Gristmill" \
      org.opencontainers.image.description="Background jobs for AI knowledge products" \
      org.opencontainers.image.licenses="Apache-2.0"

# Certificates for outgoing TLS, curl for the health check.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /var/lib/gristmill --shell /usr/sbin/nologin gristmill \
    && install --directory --owner=gristmill --group=gristmill /var/lib/gristmill

COPY --from=build /out/ /usr/local/bin/

# PORT and not GRISTMILL_BIND, so that a platform's own PORT is obeyed. With files in S3 nothing is written outside of
# /tmp, so the root file system may be read-only. GRISTMILL_DATA_DIR has no default here: a folder of one container is
# not shared with the others, and whoever shares one names it.
ENV PORT=8080 \
    GRISTMILL_HEALTH_BIND=0.0.0.0:8080 \
    GRISTMILL_LOG_FORMAT=json

USER 10001:10001
WORKDIR /var/lib/gristmill
EXPOSE 8080

# Every role answers here: the API on its port, worker and scheduler at GRISTMILL_HEALTH_BIND.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD curl --fail --silent --show-error --output /dev/null "http://127.0.0.1:${PORT}/readyz"

CMD ["api"]

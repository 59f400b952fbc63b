# syntax=docker/dockerfile:1

# One image with all three programs; the command chooses:
#   docker run … spillway-ingest | spillway-worker | spillway <command>

# The version is `rust-version` of Cargo.toml.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY loadtest loadtest
# The caches keep downloads and compiled dependencies from one build to the next. They are not
# part of the image, so the programs are copied out within the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
        --bin spillway-ingest --bin spillway-worker --bin spillway \
    && install -D -t /programs \
        target/release/spillway-ingest target/release/spillway-worker target/release/spillway

FROM debian:bookworm-slim
COPY --from=build /programs/ /usr/local/bin/
# A number and not a name, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080 9080 9081 9082
# The programs finish what is in flight on SIGTERM.
STOPSIGNAL SIGTERM
CMD ["spillway", "--help"]

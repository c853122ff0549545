# An image with the server and nothing else: no shell, no libraries, no package manager. docs/deploy.md says how to run it.
#
#   docker build --build-arg TINYMCP_COMMIT=$(git rev-parse --short=12 HEAD) -t tinymcp .

# The server, in one file without libraries. A release puts files that were built elsewhere in the place of this stage:
# `--build-context build=DIRECTORY` with DIRECTORY/amd64/tinymcp and DIRECTORY/arm64/tinymcp.
FROM rust:1.95-slim-bookworm AS build
ARG TARGETARCH
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /source
COPY . .
# For `tinymcp --version`: the history is not here.
ARG TINYMCP_COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=target-$TARGETARCH \
    cargo build --profile dist --locked --package tinymcp --target "$(uname -m)-unknown-linux-musl" \
    && mkdir -p "/$TARGETARCH" \
    && cp "target/$(uname -m)-unknown-linux-musl/dist/tinymcp" "/$TARGETARCH/tinymcp"

# What an empty image lacks, the same for every processor. It has openssl too, since the certificates depend on it.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS files
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    # Authorities, without which no identity provider is believed; a name for the user; folders to mount things at.
    && mkdir -p /image/etc/ssl/certs /image/etc/tinymcp /image/plugins /state \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'tinymcp:x:65532:65532::/:/' >/image/etc/passwd \
    && echo 'tinymcp:x:65532:' >/image/etc/group

# Certificates for the Redis of compose.yaml; no part of the image.
FROM files AS certificates
COPY deploy/compose/certificates /usr/local/bin/certificates
RUN install -d -o 65532 -g 65532 /tls /ca
USER 65532:65532
CMD ["certificates", "/tls", "/ca"]

FROM scratch
ARG TARGETARCH
COPY --from=files /image/ /
COPY --from=files --chown=65532:65532 /state /var/lib/tinymcp
COPY --from=build --chmod=755 /$TARGETARCH/tinymcp /usr/local/bin/tinymcp
# `tinymcp.toml` and `.env` are found here, by the server and by every command in `docker exec`.
WORKDIR /etc/tinymcp
# Within a volume, and not the volume itself: the directory of some belongs to root. Each of these is stronger than its key
# in the file.
ENV TINYMCP_SERVER_LISTEN=0.0.0.0:8000 \
    TINYMCP_PLUGINS_DIR=/plugins \
    TINYMCP_STATE_DIR=/var/lib/tinymcp/state
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/usr/local/bin/tinymcp"]
CMD ["serve"]
# Alive, and not ready: who replaces containers for this must not do so because the identity provider is away.
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s CMD ["/usr/local/bin/tinymcp", "health"]

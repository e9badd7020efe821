# The image of weir: one static program, the few files that it reads of a system,
# and the list of what it is made of. No shell; nothing that is written to.
#
# `make image` builds it for this machine. For both platforms, on either of them:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag NAME .
#
# What is in it, and how the program is made, stands in .ci/image-root, from which
# tests make the root that they start weir in.
ARG RUST_VERSION=1.95.0
FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY .ci/install .ci/install
RUN .ci/install binutils ca-certificates make python3
COPY . .
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=weir-target-${TARGETARCH},sharing=locked \
    make image-root IMAGE_ROOT=/image ARCH=${TARGETARCH}

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="A gRPC sidecar for Envoy that limits and meters generative-API traffic" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /image/root/ /
COPY --from=build --chown=65532:65532 /image/own/ /run/weir/
COPY --from=build --chown=65532:65532 /image/own/ /var/lib/weir/
# Which roots servers' certificates are judged by; where SQLite sorts what is long.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    SQLITE_TMPDIR=/var/lib/weir
USER 65532:65532
# gRPC, health, admin and metrics.
EXPOSE 50051 50052 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/weir"]
CMD ["serve", "--config", "/etc/weir/weir.yaml"]

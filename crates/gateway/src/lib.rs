//! Speak HTTP, WebSocket and gRPC: the API, IPFS paths, S3, the web UI.

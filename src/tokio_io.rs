//! tokio's I/O traits on gambol's types, with the feature `tokio-io`.

//! Accepting, routing, queueing, retrying, bouncing.

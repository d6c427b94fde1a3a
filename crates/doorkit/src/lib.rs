//! What every protocol door shares: listeners, TLS, limits, SASL.

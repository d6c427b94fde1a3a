//! Messages: parse, structure, build, clean HTML, addresses, DKIM, DSN.

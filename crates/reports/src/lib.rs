//! Reports that mail servers send each other about a domain: DMARC aggregate reports (RFC 9990) and TLS reports (RFC 8460), read, kept, gathered and written.

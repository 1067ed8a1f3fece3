"""The charging domain of voltledger: model, use cases, zone loop and event store."""

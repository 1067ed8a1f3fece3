"""The reading API over HTTP, by the nouns of the standard."""

"""Sites with a published electrical network."""

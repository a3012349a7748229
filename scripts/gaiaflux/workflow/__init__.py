"""What the rules may import: ledger, code digest and configuration messages; light enough for parsing."""

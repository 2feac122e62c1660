"""What every stage of leadstream shares: settings, errors, retry, logging, the embedded stack, the command line."""

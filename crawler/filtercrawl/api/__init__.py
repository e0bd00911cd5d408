"""What plugins implement and exchange: records, protocols, hooks, errors."""

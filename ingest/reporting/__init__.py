"""What a run says: its log, its summary, its progress, its health check."""

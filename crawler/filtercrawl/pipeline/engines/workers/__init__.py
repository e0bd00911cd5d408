"""What engines share whose workers are other processes: messages, attempts, and what becomes of those that are lost."""

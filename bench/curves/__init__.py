"""What a call costs as devices, history and queues grow."""

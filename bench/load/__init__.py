"""What is sent, and the processes that send it."""

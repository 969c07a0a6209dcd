"""One server a file: the same chat at /ws/chat and echo at /ws/echo, each the way its own library wants it."""

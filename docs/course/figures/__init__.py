"""The pictures of the course, a file for each chapter. Each function draws one and returns it."""

"""Image files, their headers and what is written beside or into images; nothing of tables or archives."""

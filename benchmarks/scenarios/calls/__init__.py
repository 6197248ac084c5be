"""What one ``react()`` costs the client and the server, beside bare calls and older versions."""

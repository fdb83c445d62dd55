"""HTTP in: uvloop's sockets and llhttp's parser, in the event loop's own thread. It knows no application."""

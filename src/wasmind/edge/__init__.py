"""The edge worker: HTTP in, a fresh sandbox per request, the answer streamed out."""

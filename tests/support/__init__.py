"""What tests of several rooms use: guests built from source, models, a backend in this process."""
